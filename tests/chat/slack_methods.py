"""The Web API methods of the stand-in: each checks its arguments as Slack does, changes the workspace and answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chat.slack_limits import NAME, Refused, check_message, check_view, length

Args = dict[str, Any]
BOT, BOT_ID, TEAM = "U0WARROOM", "B0WARROOM", "T0TEAM"
SCOPES = [
    "commands",
    "chat:write",
    "channels:manage",
    "groups:write",
    "channels:read",
    "groups:read",
    "pins:write",
    "bookmarks:write",
    "files:write",
    "users:read",
    "users:read.email",
    "app_mentions:read",
    "reactions:read",
    "channels:history",
    "groups:history",
    "im:history",
    "im:write",
    "im:read",
    "pins:read",
    "usergroups:read",
]


@dataclass
class Channel:
    """A channel as people see it; `messages` by ts, deleted ones gone."""

    id: str
    name: str
    private: bool = False
    members: list[str] = field(default_factory=lambda: [BOT])
    topic: str = ""
    archived: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    pins: list[str] = field(default_factory=list)
    bookmarks: list[dict[str, str]] = field(default_factory=list)
    user: str = ""
    """Whose direct message channel it is."""


@dataclass
class Workspace:
    """Everything that persists."""

    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    channels: dict[str, Channel] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    triggers: dict[str, float] = field(default_factory=dict)
    """Trigger ids and when they end."""
    cannot_invite: dict[str, str] = field(default_factory=dict)
    now: Callable[[], float] = lambda: 0.0
    tables: bool = True
    """Whether this workspace has the table block yet."""
    numbers: Any = field(default_factory=lambda: itertools.count(1))
    url: str = ""

    def channel(self, key: str) -> Channel:
        if key in self.users:
            return self.direct(key)
        try:
            return self.channels[key]
        except KeyError:
            raise Refused("channel_not_found", key) from None

    def direct(self, user: str) -> Channel:
        key = f"D{user[1:]}"
        return self.channels.setdefault(key, Channel(id=key, name="directmessage", members=[BOT, user], user=user))

    def ts(self) -> str:
        return f"{int(self.now())}.{next(self.numbers):06}"

    def post(self, channel: Channel, said: dict[str, Any]) -> dict[str, Any]:
        said["ts"] = self.ts()
        channel.messages[said["ts"]] = said
        return said


def call(space: Workspace, method: str, args: Args) -> Args:
    """Carry a method out. Raises Refused."""
    try:
        scopes, act = METHODS[method]
    except KeyError:
        raise Refused("unknown_method", method) from None
    if scopes and not set(scopes.split("|")) & set(space.scopes):
        raise Refused("missing_scope", scopes.partition("|")[0])
    return act(space, args)


def _writable(space: Workspace, args: Args) -> Channel:
    channel = space.channel(args.get("channel", ""))
    if channel.archived:
        raise Refused("is_archived", channel.name)
    if BOT not in channel.members:
        raise Refused("not_in_channel", channel.name)
    return channel


def post_message(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    _check_tables(space, args)
    check_message(args)
    thread = args.get("thread_ts") or ""
    if thread and thread not in channel.messages:
        raise Refused("thread_not_found", thread)
    said = {"user": BOT, "bot_id": BOT_ID, "text": args.get("text", ""), "blocks": args.get("blocks", [])}
    said = space.post(channel, {**said, "thread_ts": thread} if thread else said)
    return {"channel": channel.id, "ts": said["ts"], "message": said}


def _check_tables(space: Workspace, args: Args) -> None:
    if not space.tables and any(b.get("type") == "table" for b in args.get("blocks") or []):
        raise Refused("invalid_blocks", "unsupported type: table")


def update(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    if args.get("channel") != channel.id:
        raise Refused("channel_not_found", "chat.update wants the id of the channel")
    said = channel.messages.get(args.get("ts", ""))
    if said is None:
        raise Refused("message_not_found", args.get("ts", ""))
    if said.get("user") != BOT:
        raise Refused("cant_update_message")
    _check_tables(space, args)
    check_message(args)
    said.update(text=args.get("text", ""), blocks=args.get("blocks", []))
    said["edited"] = said.get("edited", 0) + 1
    return {"channel": channel.id, "ts": said["ts"], "text": said["text"]}


def delete(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    if channel.messages.pop(args.get("ts", ""), None) is None:
        raise Refused("message_not_found")
    return {"channel": channel.id, "ts": args["ts"]}


def permalink(space: Workspace, args: Args) -> Args:
    channel = space.channel(args.get("channel", ""))
    if args.get("message_ts") not in channel.messages:
        raise Refused("message_not_found")
    at = args["message_ts"].replace(".", "")
    return {"channel": channel.id, "permalink": f"https://team.slack.example/archives/{channel.id}/p{at}"}


def history(space: Workspace, args: Args) -> Args:
    channel = space.channel(args.get("channel", ""))
    if BOT not in channel.members:
        raise Refused("not_in_channel")
    oldest, latest = args.get("oldest") or "0", args.get("latest") or "9"
    rows = [m for m in channel.messages.values() if not m.get("thread_ts") and oldest <= m["ts"] <= latest]
    return {"messages": [_told(m) for m in reversed(rows)][: int(args.get("limit") or 100)], "has_more": False}


def replies(space: Workspace, args: Args) -> Args:
    channel, ts = space.channel(args.get("channel", "")), args.get("ts", "")
    if ts not in channel.messages:
        raise Refused("thread_not_found")
    root = channel.messages[ts].get("thread_ts") or ts
    rows = [m for m in channel.messages.values() if root in (m["ts"], m.get("thread_ts"))]
    return {"messages": [_told(m) for m in rows], "has_more": False}


def _told(message: Args) -> Args:
    return {"type": "message", **{k: v for k, v in message.items() if k != "edited"}}


def create(space: Workspace, args: Args) -> Args:
    name = args.get("name", "")
    if not NAME.fullmatch(name):
        raise Refused("invalid_name_specials" if len(name) <= 80 else "invalid_name_maxlength", name)
    if any(c.name == name for c in space.channels.values()):
        raise Refused("name_taken", name)
    private = args.get("is_private") in (True, "1", "true")
    needed = "groups:write" if private else "channels:manage"
    if needed not in space.scopes:
        raise Refused("missing_scope", needed)
    key = f"C0ROOM{next(space.numbers)}"
    space.channels[key] = Channel(id=key, name=name, private=private)
    return {"channel": {"id": key, "name": name}}


def invite(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    users = args.get("users", "").split(",")
    if len(users) > 100:
        raise Refused("too_many_users", str(len(users)))
    errors = [{"user": u, "ok": False, "error": e} for u in users if (e := _not_invitable(space, channel, u))]
    if errors and args.get("force") not in (True, "1", "true"):
        raise Invites(errors)
    wrong = {e["user"] for e in errors}
    channel.members += [u for u in users if u not in wrong]
    if errors and len(wrong) == len(users):
        raise Invites(errors)
    return {"channel": {"id": channel.id}, **({"errors": errors} if errors else {})}


class Invites(Refused):
    """Invitations that were refused, one by one."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["error"])
        self.errors = errors


def _not_invitable(space: Workspace, channel: Channel, user: str) -> str:
    if user == BOT:
        return "cant_invite_self"
    if user in channel.members:
        return "already_in_channel"
    return space.cannot_invite.get(user, "") or ("" if user in space.users else "user_not_found")


def topic(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    if length(args.get("topic", "")) > 250:
        raise Refused("too_long", "topic")
    channel.topic = args.get("topic", "")
    return {"channel": {"id": channel.id}}


def archive(space: Workspace, args: Args) -> Args:
    channel = space.channel(args.get("channel", ""))
    if channel.archived:
        raise Refused("already_archived")
    channel.archived = True
    return {}


def info(space: Workspace, args: Args) -> Args:
    channel = space.channel(args.get("channel", ""))
    return {"channel": {"id": channel.id, "name": channel.name, "is_member": BOT in channel.members}}


def open_direct(space: Workspace, args: Args) -> Args:
    user = args.get("users", "")
    if user not in space.users:
        raise Refused("user_not_found", user)
    return {"channel": {"id": space.direct(user).id}}


def pin(space: Workspace, args: Args) -> Args:
    channel = _writable(space, args)
    if args.get("timestamp") not in channel.messages:
        raise Refused("message_not_found")
    if args["timestamp"] in channel.pins:
        raise Refused("already_pinned")
    channel.pins.append(args["timestamp"])
    return {}


def bookmark(space: Workspace, args: Args) -> Args:
    channel = space.channel(args.get("channel_id", ""))
    if args.get("type") != "link" or not str(args.get("link", "")).startswith("http"):
        raise Refused("invalid_link", str(args.get("link")))
    channel.bookmarks.append({"title": args["title"], "link": args["link"]})
    return {"bookmark": {"id": "Bk1"}}


def user_info(space: Workspace, args: Args) -> Args:
    user = space.users.get(args.get("user", ""))
    if user is None:
        raise Refused("user_not_found", str(args.get("user")))
    profile = {k: v for k, v in user["profile"].items() if k != "email" or "users:read.email" in space.scopes}
    return {"user": {**user, "profile": profile}}


def user_groups(space: Workspace, args: Args) -> Args:
    return {"usergroups": [{"id": key, "handle": key.lower(), "users": users} for key, users in space.groups.items()]}


def upload_url(space: Workspace, args: Args) -> Args:
    if not args.get("filename") or int(args.get("length") or 0) < 1:
        raise Refused("invalid_arguments", "filename and length")
    key = f"F0FILE{next(space.numbers)}"
    space.files[key] = {"name": args["filename"], "length": int(args["length"]), "content": None, "channel": ""}
    return {"file_id": key, "upload_url": f"{space.url}/upload/{key}"}


def complete_upload(space: Workspace, args: Args) -> Args:
    listed = json.loads(args["files"]) if isinstance(args.get("files"), str) else args.get("files")
    for one in listed or []:
        file = space.files.get(one.get("id", ""))
        if file is None or file["content"] is None:
            raise Refused("file_not_found", str(one))
        if key := args.get("channel_id"):
            channel = _writable(space, {"channel": key})
            thread = args.get("thread_ts") or ""
            if thread and thread not in channel.messages:
                raise Refused("thread_not_found", thread)
            said: Args = {"user": BOT, "bot_id": BOT_ID, "text": "", "files": [{"id": one["id"], **file}]}
            space.post(channel, {**said, "thread_ts": thread} if thread else said)
            file.update(channel=channel.id, title=one.get("title", ""))
    return {"files": [{"id": one["id"]} for one in listed or []]}


def open_view(space: Workspace, args: Args) -> Args:
    ends = space.triggers.pop(args.get("trigger_id", ""), None)
    if ends is None:
        raise Refused("exchanged_trigger_id", "a trigger is good for one view")
    if ends < space.now():
        raise Refused("expired_trigger_id")
    view = json.loads(args["view"]) if isinstance(args.get("view"), str) else args.get("view")
    check_view(view)
    key = f"V0VIEW{next(space.numbers)}"
    space.views[key] = {**view, "id": key}
    return {"view": {"id": key}}


def whoami(space: Workspace, args: Args) -> Args:
    return {"user_id": BOT, "bot_id": BOT_ID, "user": "warroom", "team": "Team", "team_id": TEAM, "url": space.url}


METHODS: Mapping[str, tuple[str, Callable[[Workspace, Args], Args]]] = {
    "auth.test": ("", whoami),
    "chat.postMessage": ("chat:write", post_message),
    "chat.update": ("chat:write", update),
    "chat.delete": ("chat:write", delete),
    "chat.getPermalink": ("", permalink),
    "conversations.history": ("channels:history|groups:history", history),
    "conversations.replies": ("channels:history|groups:history", replies),
    "conversations.create": ("channels:manage|groups:write", create),
    "conversations.invite": ("channels:manage|groups:write", invite),
    "conversations.setTopic": ("channels:manage|groups:write", topic),
    "conversations.archive": ("channels:manage|groups:write", archive),
    "conversations.info": ("channels:read|groups:read", info),
    "conversations.open": ("im:write", open_direct),
    "pins.add": ("pins:write", pin),
    "bookmarks.add": ("bookmarks:write", bookmark),
    "users.info": ("users:read", user_info),
    "usergroups.list": ("usergroups:read", user_groups),
    "files.getUploadURLExternal": ("files:write", upload_url),
    "files.completeUploadExternal": ("files:write", complete_upload),
    "views.open": ("", open_view),
}
"""Method: scopes of which one is needed, and what it does."""
