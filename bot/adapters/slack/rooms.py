"""War rooms: a channel made and filled with people, and put away. What fails after it exists does not lose it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.mrkdwn import cut
from bot.adapters.slack.read import NAME
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import Clock
from bot.domain.chat import Made, NewRoom
from bot.domain.errors import SendFailed
from bot.domain.text import Text

log = logging.getLogger(__name__)

NAME_LENGTH, TOPIC_LENGTH, BATCH = 80, 250, 100
"""docs.slack.dev: conversations.create, .setTopic, .invite."""
PATIENCE_S = 6.0
"""For all that comes after the channel exists; the application gives the whole of it 10 s."""
TRIES = 5
"""Names tried, each with another ending, before the room is given up."""
INSIDE = ("already_in_channel", "cant_invite_self")


@dataclass
class _Progress:
    """What people should know of a room that exists."""

    left_out: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Whom nobody has tried to invite yet."""


class Rooms:
    """`template` names the channels: {number}, {title} and {date} are filled in. `private` ones only members see."""

    def __init__(self, api: Api, clock: Clock, *, template: str, zone: tzinfo, private: bool = False) -> None:
        self._api = api
        self._clock = clock
        self._template = template
        self._zone = zone
        self._private = private

    async def create(self, wanted: NewRoom) -> Made:
        """Make the channel, then invite, set the topic and the bookmark. Raises SendFailed when there is no channel."""
        channel = await self._made(self._name(wanted))
        done = _Progress(waiting=list(wanted.members))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._filled(channel, wanted, done)
        except TimeoutError:
            done.trouble.append("Slack is slow: no answer in time")
        left_out = tuple(dict.fromkeys([*done.left_out, *done.waiting]))
        return Made(key=f"{NAME}:{channel}", left_out=left_out, note=_note(wanted, left_out, done.trouble))

    async def archive(self, room: str) -> None:
        """Put a channel away; one that is away already is no error. Raises SendFailed."""
        try:
            await self._api.call(self._api.client.conversations_archive, channel=room.partition(":")[2])
        except SlackRefused as exc:
            if exc.error not in ("already_archived", "is_archived"):
                raise

    async def _made(self, name: str) -> str:
        for tries in range(TRIES):
            ending = "" if not tries else f"-{tries + 1}" if tries < TRIES - 1 else f"-{secrets.token_hex(3)}"
            try:
                answer = await self._api.call(
                    self._api.client.conversations_create,
                    name=name[: NAME_LENGTH - len(ending)] + ending,
                    is_private=self._private,
                )
            except SlackRefused as exc:
                if exc.error != "name_taken" or tries == TRIES - 1:
                    raise
                continue
            channel = answer.get("channel")
            ident = str(channel.get("id", "")) if isinstance(channel, dict) else ""
            if ident:
                return ident
            break
        raise SendFailed("conversations.create: no channel in the answer", uncertain=True)

    async def _filled(self, channel: str, wanted: NewRoom, done: _Progress) -> None:
        api, topic = self._api.client, cut(wanted.topic, TOPIC_LENGTH)
        while done.waiting:
            await self._invite(channel, done)
        if topic:
            await _tolerantly(done, lambda: self._api.call(api.conversations_setTopic, channel=channel, topic=topic))
        if wanted.link.startswith(("https://", "http://")):
            mark = {"channel_id": channel, "title": f"Warroom {wanted.incident}", "type": "link", "link": wanted.link}
            await _tolerantly(done, lambda: self._api.call(api.bookmarks_add, **mark))

    async def _invite(self, channel: str, done: _Progress) -> None:
        """The next hundred at once; one by one where Slack refuses them all for the sake of one."""
        batch = done.waiting[:BATCH]
        invite = self._api.client.conversations_invite
        try:
            answer = await self._api.call(invite, channel=channel, users=batch, force=True)
            done.left_out += _refused(answer.get("errors"), but=INSIDE)
        except SlackRefused as exc:
            named = _refused(exc.detail.get("errors"))
            rest = [user for user in batch if user not in named] if named else batch
            done.left_out += _refused(exc.detail.get("errors"), but=INSIDE)
            if len(rest) < len(batch):
                done.waiting[: len(batch)] = rest
                return
            if len(batch) > 1:
                await self._one_by_one(channel, batch, done)
            elif exc.error not in INSIDE:
                done.left_out += batch
                _noted(done, exc)
        except SendFailed as exc:
            done.left_out += batch
            _noted(done, exc)
        done.waiting[: len(batch)] = []

    async def _one_by_one(self, channel: str, users: Sequence[str], done: _Progress) -> None:
        for user in users:
            try:
                await self._api.call(self._api.client.conversations_invite, channel=channel, users=user)
            except SlackRefused as exc:
                if exc.error not in INSIDE:
                    done.left_out.append(user)
            except SendFailed as exc:
                done.left_out.append(user)
                _noted(done, exc)

    def _name(self, wanted: NewRoom) -> str:
        now = self._clock.now().astimezone(self._zone)
        title = wanted.title.removeprefix(wanted.incident)
        number = re.sub(r"\D", "", wanted.incident) or wanted.incident
        fields = {"number": number, "title": title, "date": now.strftime("%Y%m%d")}
        return channel_name(self._template, fields)


def channel_name(template: str, fields: dict[str, str]) -> str:
    """A name of `[a-z0-9_-]`, at most 80. What is not in that alphabet is left out, words in Chinese among it."""
    filled = re.sub(r"{(\w+)}", lambda found: clean(fields.get(found[1], "")), template.lower())
    return clean(filled)[:NAME_LENGTH].strip("-_") or clean(f"inc-{fields.get('number', '')}")


def clean(text: str) -> str:
    """Only what a channel's name may have; everything else is a hyphen, and no two of them."""
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9_]+", "-", text.lower())).strip("-")


def _refused(errors: Any, *, but: Collection[str] = ()) -> list[str]:
    """The accounts that were not invited, but for those with one of these errors."""
    rows = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return [str(r["user"]) for r in rows if not r.get("ok") and r.get("user") and r.get("error") not in but]


async def _tolerantly(done: _Progress, act: Callable[[], Awaitable[Any]]) -> None:
    try:
        await act()
    except SendFailed as exc:
        _noted(done, exc)


def _noted(done: _Progress, exc: SendFailed) -> None:
    log.warning("a war room is not complete: %s", exc)
    if str(exc) not in done.trouble:
        done.trouble.append(str(exc))


def _note(wanted: NewRoom, left_out: Sequence[str], trouble: Sequence[str]) -> str:
    if not left_out and not trouble:
        return ""
    names, why = ", ".join(f"@{user}" for user in left_out), "; ".join(trouble)
    people = Text(f"没能邀请：{names}", f"could not be invited: {names}").in_(wanted.lang) if left_out else ""
    return " · ".join(filter(None, (people, why)))
