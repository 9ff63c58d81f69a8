"""What people do in the stand-in, and what Slack makes of it: the payloads of docs.slack.dev."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.chat.slack_methods import BOT, TEAM, Channel, Workspace

if TYPE_CHECKING:
    from tests.chat.slack_server import Answer


class Acts:
    """Mixed into the server: `deliver` brings a payload to the bot."""

    space: Workspace
    root: str
    _counter: Iterator[int]

    @abstractmethod
    async def deliver(self, payload: dict[str, Any], *, retry: bool = True) -> Answer:
        """Bring it to the bot."""

    @abstractmethod
    def shown(self, channel: str) -> list[str]:
        """What a person sees."""

    async def types(self, channel: str, user: str, text: str, *, thread: str = "") -> Answer:
        """A line in a channel, as its first character says: a slash command, a mention, or a message."""
        if text.startswith("/"):
            return await self.deliver(self.slash(channel, user, text))
        return await self.deliver(self.message(channel, user, text, thread=thread))

    def slash(self, channel: str, user: str, text: str) -> dict[str, Any]:
        """The form of a slash command."""
        place = self.space.channel(channel)
        command, _, rest = text.partition(" ")
        return {
            "token": "legacy",
            "team_id": TEAM,
            "team_domain": "team",
            "channel_id": place.id,
            "channel_name": place.name,
            "user_id": user,
            "user_name": self._name(user),
            "command": command,
            "text": rest,
            "api_app_id": "A0APP",
            "is_enterprise_install": "false",
            "response_url": self._response_url(place.id),
            "trigger_id": self.trigger(),
        }

    def message(self, channel: str, user: str, text: str, *, thread: str = "") -> dict[str, Any]:
        """The event of a message: `app_mention` where "@warroom" is in it, `message` in a direct channel."""
        place = self.space.channel(channel)
        written = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        written = written.replace("@warroom", f"<@{BOT}>")
        said = {"user": user, "text": written}
        row = self.space.post(place, {**said, "thread_ts": thread} if thread else said)
        event = {"type": "app_mention", "user": user, "text": written, "ts": row["ts"], "channel": place.id}
        if place.user:
            event |= {"type": "message", "channel_type": "im"}
        if thread:
            event["thread_ts"] = thread
        return self.event({**event, "event_ts": row["ts"]})

    def event(self, event: dict[str, Any]) -> dict[str, Any]:
        """The envelope of the Events API."""
        return {
            "token": "legacy",
            "team_id": TEAM,
            "api_app_id": "A0APP",
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{next(self._counter):08}",
            "event_time": int(self.space.now()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
        }

    async def presses(self, channel: str, user: str, label: str) -> Answer:
        """The newest button with this label in the channel."""
        return await self.deliver(self.press(channel, user, label))

    def press(self, channel: str, user: str, label: str) -> dict[str, Any]:
        """The payload of a pressed button."""
        place = self.space.channel(channel)
        for said in reversed(place.messages.values()):
            for block in said.get("blocks", []):
                for element in block.get("elements", []) if block["type"] == "actions" else []:
                    if element["text"]["text"] == label:
                        return self._action(place, user, said, block, element)
        raise AssertionError(f"no button {label!r} in {self.shown(channel)}")

    def _action(self, place: Channel, user: str, said: dict[str, Any], block: Any, element: Any) -> dict[str, Any]:
        action = {"type": "button", "action_id": element["action_id"], "value": element.get("value", "")}
        action |= {"block_id": block.get("block_id", "b"), "text": element["text"], "action_ts": self.space.ts()}
        return {
            "type": "block_actions",
            "user": {"id": user, "username": self._name(user), "team_id": TEAM},
            "api_app_id": "A0APP",
            "container": {"type": "message", "message_ts": said["ts"], "channel_id": place.id, "is_ephemeral": False},
            "trigger_id": self.trigger(),
            "team": {"id": TEAM, "domain": "team"},
            "channel": {"id": place.id, "name": place.name},
            "message": {**said, "type": "message"},
            "response_url": self._response_url(place.id),
            "actions": [action],
        }

    async def marks(self, channel: str, user: str, ts: str, reaction: str = "memo") -> Answer:
        """A reaction on a message."""
        author = self.space.channel(channel).messages[ts].get("user", "")
        item = {"type": "message", "channel": channel, "ts": ts}
        event = {"type": "reaction_added", "user": user, "reaction": reaction, "item_user": author, "item": item}
        return await self.deliver(self.event({**event, "event_ts": self.space.ts()}))

    async def pins(self, channel: str, user: str, ts: str) -> Answer:
        """A message is pinned."""
        item = {"type": "message", "channel": channel, "message": {"ts": ts}, "created_by": user}
        event = {"type": "pin_added", "user": user, "channel_id": channel, "item": item}
        return await self.deliver(self.event({**event, "event_ts": self.space.ts()}))

    async def keeps(self, channel: str, user: str, ts: str) -> Answer:
        """The message shortcut "add to timeline"."""
        place = self.space.channel(channel)
        payload = {
            "type": "message_action",
            "callback_id": "add_to_timeline",
            "trigger_id": self.trigger(),
            "user": {"id": user, "name": self._name(user)},
            "team": {"id": TEAM, "domain": "team"},
            "channel": {"id": place.id, "name": place.name},
            "message_ts": ts,
            "message": {**place.messages[ts], "type": "message"},
            "response_url": self._response_url(place.id),
        }
        return await self.deliver(payload)

    async def submits(self, user: str, **values: str) -> Answer:
        """The newest modal, filled in: block id = value."""
        key, view = next(reversed(self.space.views.items()))
        state: dict[str, Any] = {}
        for block in view["blocks"]:
            if block["type"] == "input":
                state[block["block_id"]] = {block["element"]["action_id"]: _filled(block, values)}
        view = {**view, "state": {"values": state}, "hash": "h", "id": key}
        payload = {"type": "view_submission", "user": {"id": user, "name": self._name(user)}, "view": view}
        return await self.deliver({**payload, "team": {"id": TEAM, "domain": "team"}, "trigger_id": self.trigger()})

    def trigger(self) -> str:
        """A trigger id, good for 3 s and one view."""
        key = f"{next(self._counter)}.{TEAM}.abc"
        self.space.triggers[key] = self.space.now() + 3
        return key

    def _name(self, user: str) -> str:
        return str(self.space.users[user]["name"]) if user in self.space.users else user.lower()

    def _response_url(self, channel: str) -> str:
        return f"{self.root}/respond/R{next(self._counter)}/{channel}"


def _filled(block: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    value, element = values.get(block["block_id"]), block["element"]
    if element["type"] == "static_select":
        option = next((o for o in element["options"] if o["value"] == value), element.get("initial_option"))
        return {"type": "static_select", "selected_option": option}
    return {"type": element["type"], "value": value}
