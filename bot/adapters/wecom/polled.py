"""The robot in callback mode: it can only answer. WeCom asks again and again how a stream goes on, for six minutes;
after that one message may go to the address that came with each message, within an hour.

So everything that is said in a room while a stream is open is shown in that stream, and what finds no way out waits
in memory for the next message from the room.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.adapters.wecom.again import Again
from bot.adapters.wecom.answers import DONE, RECEIVED, UNANSWERED_S, Answer, Answers, Ref
from bot.adapters.wecom.api import Http, code_of
from bot.adapters.wecom.card import Card, pressed, unknown_card
from bot.adapters.wecom.intake import Intake
from bot.adapters.wecom.reading import Heard
from bot.adapters.wecom.render import Style
from bot.adapters.wecom.robot import MOST_BYTES, MOST_CARDS, NOT_TAKEN, WORDS_ONLY
from bot.adapters.wecom.said import Content, Said, prepare
from bot.adapters.wecom.text import cut
from bot.adapters.wecom.trouble import refused
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.platforms import WeComBot
from bot.domain.text import Lang, Text

log = logging.getLogger("warroom.wecom")

URL_S = 3500.0
"""An address may be used once, within an hour."""
SETTLE_S = 2.0
"""A stream stays open so long after the last thing that was said in it."""
ANSWER_S = 3.5
"""WeCom waits five seconds for the answer to a message."""
MOST_WAITING = 50
NO_FILE = Text(
    "（机器人在回调模式下发不了文件，请在控制台下载）",
    "(in callback mode the robot cannot send files; the console has it)",
)
FILE_SENT = Text("（文件已由应用单独发给 {who}）", "(the application sent the file to {who} alone)")
GiveFile = Callable[[str, str, bytes], Awaitable[None]]


@dataclass(kw_only=True)
class _Talk:
    """What a stream shows: each message's latest text, in the order they came."""

    sections: OrderedDict[str, Said] = field(default_factory=OrderedDict)
    changed: float = 0.0


@dataclass(kw_only=True)
class _Place:
    """A room: addresses that may be used, with the moment they end, and what waits for one."""

    urls: deque[tuple[str, float]] = field(default_factory=lambda: deque(maxlen=20))
    waiting: OrderedDict[str, Said] = field(default_factory=OrderedDict)
    open: Answer | None = None


class PolledRobot:
    """`answer` is what a callback is answered with; `put` says something in a room of the robot's."""

    def __init__(
        self,
        bot: WeComBot,
        intake: Intake,
        http: Http,
        *,
        lang: Lang,
        give_file: GiveFile | None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._intake, self._http, self._lang, self._now = intake, http, lang, now
        self._give_file = give_file
        self._typed = f"@{bot.name} " if bot.name else ""
        self._answers = Answers(now)
        self._again = Again(now)
        self._talks: dict[str, _Talk] = {}
        self._places: dict[str, _Place] = {}
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Say what has waited, until cancelled."""
        try:
            while True:
                await asyncio.sleep(1.0)
                await self._again.flush()
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def put(self, message: Message, room: Room, ref: str | None) -> str:
        """Show it. Raises SendFailed."""
        typed = self._typed if room.key.startswith("wecom:bot/") else ""
        said = prepare(message, Style(lang=room.lang, typed=typed, fences=True), cards=True, beside=False)
        place = self._places.setdefault(room.key, _Place())
        known = Ref.read(ref) if ref else None
        stream = self._stream_for(message, known, place)
        if known is not None and known.digest == said.digest:
            return str(known)
        if stream is not None and (known is None or known.ident == stream.stream_id or not said.moving):
            self._section(stream, said)
            return str(Ref(kind="s", ident=stream.stream_id, digest=said.digest, files=said.files_digest))
        if known is not None and said.moving:
            return str(known)
        new = str(Ref(kind="m", ident="", digest=said.digest, files=said.files_digest))
        if known is None:
            await self._post(said)
            self._again.told(said)
            return new
        return await self._again.tell(said, self._post) or new

    async def answer(self, heard: Heard) -> Mapping[str, Any] | None:
        """What a message, a press or another event is answered with, within five seconds."""
        place = self._places.setdefault(heard.room, _Place())
        known = self._answers.known(heard.msgid)
        if known is None and heard.response_url:
            place.urls.append((heard.response_url, self._now() + URL_S))
        if heard.key:
            return await self._press(heard)
        if heard.event:
            return None
        if known is not None:
            return self._state(known)
        answer = self._answers.open(heard, "")
        assert answer is not None
        if not heard.text and not heard.quoted:
            return self._said_at_once(answer, WORDS_ONLY)
        self._begin(place, answer)
        try:
            await self._within(self._intake.take(heard))
        except StoreUnavailable as exc:
            log.error("what %s said is not recorded: %s", heard.user, exc)
            self._answers.forget(heard.msgid)
            return self._said_at_once(answer, NOT_TAKEN)
        return self._state(answer)

    def refresh(self, stream_id: str) -> Mapping[str, Any] | None:
        """How a stream stands; None for one we know nothing of: what stands there stays."""
        answer = self._answers.stream(stream_id)
        return self._state(answer) if answer else None

    def _begin(self, place: _Place, answer: Answer) -> None:
        place.open = answer
        talk = self._talks.setdefault(answer.stream_id, _Talk(changed=self._now()))
        talk.sections.update(place.waiting)
        place.waiting.clear()
        while len(self._talks) > MOST_CARDS:
            self._talks.pop(next(iter(self._talks)))

    def _stream_for(self, message: Message, known: Ref | None, place: _Place) -> Answer | None:
        """The open stream it belongs in: where it stands already, that of what it answers, the room's latest."""
        mine = self._answers.stream(known.ident) if known else None
        for answer in (mine, self._answers.known(message.answers), place.open):
            if answer and answer.heard.room == message.room and not answer.closed and not self._answers.over(answer):
                return answer
        return None

    def _section(self, answer: Answer, said: Said) -> None:
        talk = self._talks.setdefault(answer.stream_id, _Talk())
        old = talk.sections.get(said.key)
        talk.sections[said.key] = said
        talk.changed = self._now()
        if old is None or not said.moving:
            answer.key = said.key
        _, files = said.parts(MOST_BYTES, 1)
        if files and (old is None or files != old.parts(MOST_BYTES, 1)[1]):
            self._beside(self._files(answer, said, files))

    def _state(self, answer: Answer) -> Mapping[str, Any]:
        """The stream as it is now. What is over is closed by saying so."""
        talk = self._talks.get(answer.stream_id, _Talk())
        moving = any(said.moving for said in talk.sections.values())
        quiet = self._now() - talk.changed >= SETTLE_S
        unanswered = not talk.sections and self._now() - answer.began > UNANSWERED_S
        finish = (
            answer.closed or self._answers.over(answer) or unanswered or bool(talk.sections and quiet and not moving)
        )
        if finish and not answer.closed:
            answer.closed = True
            self._beside(self._cards_of(talk))
        text = answer.text or "\n\n".join(said.text for said in talk.sections.values())
        return _stream(answer, cut(text.strip() or (DONE if finish else RECEIVED), MOST_BYTES), finish=finish)

    def _said_at_once(self, answer: Answer, text: Text) -> Mapping[str, Any]:
        answer.text, answer.closed = text.in_(self._lang), True
        return _stream(answer, answer.text, finish=True)

    async def _press(self, heard: Heard) -> Mapping[str, Any] | None:
        if not heard.text:
            return None
        card = self._cards.get(heard.task)
        changed = pressed(card, heard.key, heard.user) if card else unknown_card(heard.key, heard.task, heard.user)
        if card:
            self._cards[heard.task] = changed
        try:
            await self._within(self._intake.take(heard))
        except StoreUnavailable as exc:
            log.error("what %s pressed is not recorded: %s", heard.user, exc)
            return None
        return {"response_type": "update_template_card", "template_card": changed}

    async def _within(self, work: Awaitable[None]) -> None:
        """Wait for it as long as WeCom waits; then it goes on by itself."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait([task], timeout=ANSWER_S)
        if done:
            await task
            return
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _beside(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("robot: %s", task.exception())

    async def _post(self, said: Said) -> str:
        """By an address that is left, or with the next message from the room."""
        place = self._places.setdefault(said.room, _Place())
        ref = str(Ref(kind="m", ident="", digest=said.digest, files=said.files_digest))
        if not said.text.strip():
            return ref
        body = {"msgtype": "markdown", "markdown": {"content": cut(said.text, MOST_BYTES)}}
        if not await self._by_url(place, body):
            log.warning("%s waits for the next message from %s: callback mode has no other way", said.key, said.room)
            place.waiting[said.key] = said
            while len(place.waiting) > MOST_WAITING:
                place.waiting.popitem(last=False)
        return ref

    async def _by_url(self, place: _Place, body: Mapping[str, Any]) -> bool:
        """Send through an address that may still be used; False when there is none."""
        while place.urls:
            url, until = place.urls.popleft()
            if self._now() >= until:
                continue
            try:
                row = await self._http.ask("POST", url, json=body)
            except SendFailed:
                place.urls.appendleft((url, until))
                raise
            if code_of(row) == 0:
                return True
            log.info("%s", refused("response_url", code_of(row), str(row.get("errmsg", ""))))
        return False

    async def _cards_of(self, talk: _Talk) -> None:
        """The buttons of what a stream showed, as far as addresses are left; they stand in its text as well."""
        for said in talk.sections.values():
            place = self._places.get(said.room)
            if said.card is None or place is None:
                continue
            card = {**said.card, "task_id": f"{said.card['task_id']}-{int(self._now() * 1000) % 10**9}"}
            if not await self._by_url(place, {"msgtype": "template_card", "template_card": card}):
                return
            self._cards[card["task_id"]] = card
            while len(self._cards) > MOST_CARDS:
                self._cards.popitem(last=False)

    async def _files(self, answer: Answer, said: Said, files: Sequence[Content]) -> None:
        who = answer.heard.user
        note = NO_FILE.in_(self._lang)
        if self._give_file is not None:
            for name, content in files:
                await self._give_file(who, name, content)
            note = FILE_SENT.in_(self._lang).format(who=who)
        more = Said(key=f"{said.key} files", room=said.room, text=note, digest="", moving=False)
        self._section(answer, more)


def _stream(answer: Answer, text: str, *, finish: bool) -> Mapping[str, Any]:
    return {"msgtype": "stream", "stream": {"id": answer.stream_id, "finish": finish, "content": text}}
