"""The robot on its long connection: answers are streams, edited while they live; the rest are messages and cards."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.adapters.wecom.again import Again
from bot.adapters.wecom.answers import DONE, RECEIVED, UNANSWERED_S, Answer, Answers, Ref
from bot.adapters.wecom.budget import MEMBER, UPLOADS, Budget
from bot.adapters.wecom.card import Card, pressed, unknown_card
from bot.adapters.wecom.intake import Intake
from bot.adapters.wecom.link import Frame, Link
from bot.adapters.wecom.reading import Heard, Unreadable, robot_message
from bot.adapters.wecom.render import Style
from bot.adapters.wecom.said import Content, Said, prepare
from bot.adapters.wecom.steps import Step, Steps
from bot.adapters.wecom.trouble import Refused
from bot.adapters.wecom.upload import upload
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.platforms import WeComBot
from bot.domain.text import Lang, Text

log = logging.getLogger("warroom.wecom")

MOST_BYTES = 20_000
"""A stream or markdown of the robot may have 20,480."""
MOST_PARTS = 4
"""A longer text goes as a file after its first part."""
EDIT_S = 2.0
"""Between two edits of a stream: a conversation takes 30 messages a minute, and edits count."""
SPARE = 12
"""So many of a minute's messages are left to what must be said when progress is shown."""
TICK_S = 0.5
MOST_CARDS = 2000
WORDS_ONLY = Text("只认识文字；试试 /help", "only text is understood; try /help")
NOT_TAKEN = Text("数据库暂不可用，没有记下；请再发一次", "the database is away and this is not recorded; send it again")


class Robot:
    """`run` holds the connection; `put` says something in a room of the robot's."""

    def __init__(
        self,
        bot: WeComBot,
        intake: Intake,
        *,
        lang: Lang,
        holds: Callable[[], Awaitable[bool]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bot, self._intake, self._lang, self._now = bot, intake, lang, now
        self.link = Link(bot, holds=holds, heard=self._heard)
        self._answers = Answers(now)
        self._budget = Budget(MEMBER, now)
        self._uploads = Budget(UPLOADS, now)
        self._again = Again(now)
        self._steps = Steps()
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._unsure: dict[str, str] = {}
        """Tasks of cards that may have arrived although no answer came."""
        self._lines: dict[str, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.link.run())
                group.create_task(self._tick())
        finally:
            for task in list(self._tasks):
                task.cancel()

    async def put(self, message: Message, room: Room, ref: str | None) -> str:
        """Say it, or change what `ref` names where that still can be changed. Raises SendFailed."""
        typed = f"@{self._bot.name} " if self._bot.name and room.key.startswith("wecom:bot/") else ""
        said = prepare(message, Style(lang=room.lang, typed=typed, fences=True), cards=True)
        known = Ref.read(ref) if ref else None
        answer = self._answer(message, room, known)
        if answer is not None:
            return await self._stream(answer, said)
        if known is None:
            self._again.withdraw(said.room, said.key)
            new = await self._post(said)
            self._again.told(said)
            return new
        if said.moving or known.digest == said.digest:
            return str(known)
        return await self._again.tell(said, self._post) or str(_later(known, said))

    def _answer(self, message: Message, room: Room, known: Ref | None) -> Answer | None:
        if known is not None:
            answer = self._answers.stream(known.ident) if known.kind == "s" else None
            return answer if answer and not answer.closed and not self._answers.over(answer) else None
        if message.pinned or not message.answers:
            return None
        return self._answers.claim(message.answers, message.key, room.key)

    async def _stream(self, answer: Answer, said: Said) -> str:
        """Show it in the answer's stream; the last state of it ends the stream and brings card and files."""
        parts, files = said.parts(MOST_BYTES, MOST_PARTS)
        answer.text = parts[0] if parts else DONE
        ref = str(Ref(kind="s", ident=answer.stream_id, digest=said.digest, files=said.files_digest))
        if said.moving:
            if self._may_edit(answer):
                await self._try(self._push(answer))
            return ref
        steps: list[Step] = [lambda: self._push(answer, finish=True)]
        steps += self._rest(said, parts[1:], files)
        try:
            await self._steps.run(f"{said.room} {said.key} {said.digest}", steps)
        except Refused as exc:
            if not exc.permanent or answer.closed:
                raise
            # The stream is gone: its time is up by WeCom's clock, or it began on an earlier connection.
            answer.closed = True
            ref = await self._post(said)
        self._again.told(said)
        return ref

    async def _push(self, answer: Answer, *, finish: bool = False) -> str:
        self._budget.take(answer.heard.room, "the robot's messages to one conversation")
        text, answer.sent_at = answer.text, self._now()
        stream = {"id": answer.stream_id, "finish": finish, "content": text or DONE}
        try:
            await self.link.send("aibot_respond_msg", {"msgtype": "stream", "stream": stream}, req_id=answer.req_id)
        except Refused as exc:
            if not (answer.unsure and exc.permanent and "finish" in str(exc).lower()):
                raise
            # Its end has arrived before, and only the answer to that was lost.
        except SendFailed as exc:
            answer.unsure = answer.unsure or (finish and exc.uncertain)
            raise
        answer.shown, answer.placed = text, True
        answer.closed = answer.closed or finish
        return ""

    def _may_edit(self, answer: Answer) -> bool:
        left = MEMBER[0][0] - self._budget.used(answer.heard.room)
        return self._now() - answer.sent_at >= EDIT_S and left > SPARE

    async def _post(self, said: Said) -> str:
        """Say it as new messages."""
        parts, files = said.parts(MOST_BYTES, MOST_PARTS)
        ident = f"{said.room} {said.key} {said.digest}"
        # What began as a stream had its text as the first step, and goes on after it.
        parts = [] if said.whole_card and not self._steps.begun(ident) else parts
        await self._steps.run(ident, self._rest(said, parts, files))
        return str(Ref(kind="m", ident="", digest=said.digest, files=said.files_digest))

    def _rest(self, said: Said, parts: Sequence[str], files: Sequence[Content]) -> list[Step]:
        def text(part: str) -> Step:
            return lambda: self._send(said.room, {"msgtype": "markdown", "markdown": {"content": part}})

        def file(name: str, content: bytes) -> Step:
            return lambda: self._file(said.room, name, content)

        steps = [text(part) for part in parts]
        if said.card is not None:
            card = said.card
            steps.append(lambda: self._card(said.room, card))
        return steps + [file(*f) for f in files]

    async def _send(self, room: str, body: Mapping[str, Any]) -> str:
        self._budget.take(room, "the robot's messages to one conversation")
        kind, _, ident = room.partition(":")[2].partition("/")
        await self.link.send("aibot_send_msg", {"chatid": ident, "chat_type": 2 if kind == "bot" else 1, **body})
        return ""

    async def _card(self, room: str, card: Card) -> str:
        # A task stands for one card; the same one said anew is another, a second try of it is not.
        base = card["task_id"]
        again = base in self._unsure
        card = {**card, "task_id": self._unsure.get(base) or f"{base}-{int(self._now() * 1000) % 10**9}"}
        try:
            await self._send(room, {"msgtype": "template_card", "template_card": card})
        except SendFailed as exc:
            if exc.uncertain:
                self._unsure[base] = card["task_id"]
            if not (again and isinstance(exc, Refused) and exc.permanent and "task" in str(exc).lower()):
                raise
        self._unsure.pop(base, None)
        self._cards[card["task_id"]] = card
        while len(self._cards) > MOST_CARDS:
            self._cards.popitem(last=False)
        return ""

    async def _file(self, room: str, name: str, content: bytes) -> str:
        self._uploads.take("", "the robot's uploads")
        media = await upload(self.link, name, content)
        return await self._send(room, {"msgtype": "file", "file": {"media_id": media}})

    def _heard(self, frame: Frame) -> None:
        """From the connection, in order."""
        headers = frame.get("headers")
        req_id = headers.get("req_id", "") if isinstance(headers, Mapping) else ""
        try:
            heard = robot_message(frame.get("body"), self._bot.name)
        except Unreadable as exc:
            log.warning("a message to the robot cannot be read: %s", exc)
            return
        task = asyncio.create_task(self._take(heard, str(req_id)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, heard: Heard, req_id: str) -> None:
        if heard.key:
            await self._take_press(heard, req_id)
            return
        if heard.event:
            return
        answer = self._answers.open(heard, req_id)
        if answer is None:
            return
        if not heard.text and not heard.quoted:
            await self._finish(answer, WORDS_ONLY)
            return
        try:
            await self._in_turn(heard)
        except StoreUnavailable as exc:
            log.error("what %s said is not recorded: %s", heard.user, exc)
            await self._finish(answer, NOT_TAKEN)
            self._answers.forget(heard.msgid)
            return
        if not answer.text and not answer.closed and self._may_edit(answer) and self._answers.first(answer):
            answer.text = RECEIVED
            await self._try(self._push(answer))

    async def _take_press(self, heard: Heard, req_id: str) -> None:
        """The card first: it must change within five seconds."""
        card = self._cards.get(heard.task)
        changed = pressed(card, heard.key, heard.user) if card else unknown_card(heard.key, heard.task, heard.user)
        if not heard.text:
            return
        answer = self._answers.open(heard, "")
        if answer is not None:
            answer.closed = True  # A press has no stream: what is said to it are messages.
            body = {"response_type": "update_template_card", "template_card": changed}
            if card:
                self._cards[heard.task] = changed
            await asyncio.gather(
                self._try(self._in_turn(heard)),
                self._try(self.link.send("aibot_respond_update_msg", body, req_id=req_id)),
            )

    async def _in_turn(self, heard: Heard) -> None:
        """What is said in a room is taken in one after the other."""
        async with self._lines.setdefault(heard.room, asyncio.Lock()):
            await self._intake.take(heard)

    async def _finish(self, answer: Answer, text: Text) -> None:
        answer.text = text.in_(self._lang)
        await self._try(self._push(answer, finish=True))

    async def _try(self, sending: Awaitable[Any]) -> None:
        try:
            await sending
        except (SendFailed, StoreUnavailable) as exc:
            log.warning("robot: %s", exc)

    async def _tick(self) -> None:
        """Push edits that had to wait, end streams that get old, say anew what could not be edited."""
        while True:
            await asyncio.sleep(TICK_S)
            if not self.link.connected:
                continue
            for answer in list(self._answers.living()):
                await self._try(self._tend(answer))
            await self._again.flush()

    async def _tend(self, answer: Answer) -> None:
        if not answer.req_id:
            return
        age = self._now() - answer.began
        if self._answers.over(answer) or (not answer.key and age > UNANSWERED_S):
            answer.text = answer.text if answer.key else DONE
            answer.closed = True
            await self._push(answer, finish=True)
        elif answer.key and answer.text != answer.shown and self._may_edit(answer):
            await self._push(answer)


def _later(known: Ref, said: Said) -> Ref:
    return Ref(kind="m", ident=known.ident, digest=said.digest, files=said.files_digest)
