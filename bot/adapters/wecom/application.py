"""The self-built application: messages to one member, cards that change, files, and groups it makes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.adapters.wecom.again import Again
from bot.adapters.wecom.answers import Ref
from bot.adapters.wecom.api import Api
from bot.adapters.wecom.budget import CHANGES, GROUP, MEMBER, Budget
from bot.adapters.wecom.card import Card, final_card, pressed, unknown_card
from bot.adapters.wecom.reading import Heard
from bot.adapters.wecom.render import Style
from bot.adapters.wecom.said import Said, prepare
from bot.adapters.wecom.steps import Step, Steps
from bot.adapters.wecom.text import pieces
from bot.adapters.wecom.trouble import WORDS, Refused
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Message
from bot.domain.platforms import WeComApp
from bot.domain.text import Lang

log = logging.getLogger("warroom.wecom")

MOST_BYTES = 2000
"""Markdown to a member or an application's group may have 2,048 bytes; a mark against duplicates may be added."""
MOST_PARTS = 3
"""A longer text goes as a file after its first part."""
DUPLICATE_S = 1800
MOST_CARDS = 2000
MOST_TOLD = 5000
INVISIBLE = "\u200b\u200c\u200d\u2060"


class Application:
    """`put` says something to a member ("wecom:app/USERID") or in a group it made ("wecom:chat/CHATID")."""

    def __init__(self, api: Api, app: WeComApp, *, typed: str, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._app, self._typed, self._now = api, app, typed, now
        self._members, self._groups = Budget(MEMBER, now), Budget(GROUP, now)
        self._changes = Budget(CHANGES, now)
        self.again = Again(now)
        self._steps = Steps()
        self._cards: OrderedDict[str, Card] = OrderedDict()
        self._told: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Texts to members, by digest: which message said it, and when."""
        self._used: OrderedDict[str, None] = OrderedDict()
        """Codes of presses that changed their card."""
        self._unsure: set[str] = set()
        """Tasks of cards that may have arrived although no answer came."""

    async def put(self, message: Message, room: Room, ref: str | None) -> str:
        """Say it, or change the card `ref` names while its code is unused. Raises SendFailed."""
        group = room.key.startswith("wecom:chat/")
        # In its own groups the application hears nothing: what is to be typed there goes to the robot.
        style = Style(lang=room.lang, typed=self._typed if group else "")
        said = prepare(message, style, cards=not group)
        if ref is None:
            self.again.withdraw(said.room, said.key)
            new = await self._post(said)
            self.again.told(said)
            return new
        known = Ref.read(ref)
        if said.moving or known.digest == said.digest:
            return ref
        if known.kind == "c" and known.code:
            return await self._change(message, room.lang, said, known)
        kept = Ref(kind=known.kind, ident=known.ident, digest=said.digest, files=said.files_digest)
        return await self.again.tell(said, self._post) or str(kept)

    async def first_words(self, chat: str, text: str) -> None:
        """The message that makes a new group visible. Raises SendFailed."""
        await self._send_group(chat, {"msgtype": "markdown", "markdown": {"content": pieces(text, MOST_BYTES)[0]}})

    async def file_to(self, user: str, name: str, content: bytes) -> None:
        """Give somebody a file alone. Raises SendFailed."""
        await self._file(f"wecom:app/{user}", name, content)

    async def show_press(self, heard: Heard) -> None:
        """Change the card somebody pressed a button of, with the code that came with the press. Raises SendFailed.

        A press that is delivered again has its code used up.
        """
        if heard.response in self._used:
            return
        self._used[heard.response] = None
        while len(self._used) > MOST_CARDS:
            self._used.popitem(last=False)
        card = self._cards.get(heard.task)
        new = pressed(card, heard.key, heard.user) if card else unknown_card(heard.key, heard.task, heard.user)
        if card:
            self._cards[heard.task] = new
        await self._update(heard.user, heard.response, new)

    async def _change(self, message: Message, lang: Lang, said: Said, known: Ref) -> str:
        """The code may be used once, so afterwards an edit is a new message."""
        user = said.room.partition("/")[2]
        card = said.card or final_card(message, lang, task_id=known.ident)
        ref = str(Ref(kind="c", ident=known.ident, digest=said.digest, files=said.files_digest))
        try:
            await self._update(user, known.code, card)
        except Refused as exc:
            if not exc.permanent:
                raise
            log.info("a card can no longer be changed: %s", exc)
            return await self.again.tell(said, self._post) or ref
        self.again.told(said)
        return ref

    async def _update(self, user: str, code: str, card: Card) -> None:
        self._changes.take("", "changes of cards")
        body = {"userids": [user], "agentid": self._app.agent_id, "response_code": code, "template_card": card}
        await self._api.call("message/update_template_card", body)

    async def _post(self, said: Said) -> str:
        results = await self._steps.run(f"{said.room} {said.key} {said.digest}", self._all(said))
        code = next((r for r in results if r), "")
        kind, ident = ("c", said.card["task_id"]) if said.card else ("m", "")
        return str(Ref(kind=kind, ident=ident, digest=said.digest, files=said.files_digest, code=code))

    def _all(self, said: Said) -> list[Step]:
        def text(part: str) -> Step:
            return lambda: self._text(said, part)

        def file(name: str, content: bytes) -> Step:
            return lambda: self._file(said.room, name, content)

        parts, files = said.parts(MOST_BYTES, MOST_PARTS)
        steps = [] if said.whole_card else [text(part) for part in parts]
        if said.card is not None:
            card = said.card
            steps.append(lambda: self._card(said.room, card))
        return steps + [file(*f) for f in files]

    async def _text(self, said: Said, part: str) -> str:
        return await self._send(said.room, {"msgtype": "markdown", "markdown": {"content": self._unlike(said, part)}})

    def _unlike(self, said: Said, text: str) -> str:
        """WeCom drops what it takes for a second try: a text that another message has said is marked invisibly."""
        key = hashlib.sha256(f"{said.room} {text}".encode()).hexdigest()
        owner, at = self._told.get(key, (said.key, 0.0))
        self._told[key] = (said.key, self._now())
        while len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        if owner == said.key or self._now() - at > DUPLICATE_S:
            return text
        number = int.from_bytes(hashlib.sha256(said.key.encode()).digest()[:2])
        return text + "".join(INVISIBLE[number >> shift & 3] for shift in range(0, 16, 2))

    async def _card(self, room: str, card: Card) -> str:
        """Returns the code that changes it once."""
        task = card["task_id"]
        if task in self._cards:
            # Said anew because it could not be changed: another card, another task.
            card = {**card, "task_id": f"{task}-{len(self._cards)}-{int(self._now())}"}
        try:
            code = await self._send(room, {"msgtype": "template_card", "template_card": card})
        except SendFailed as exc:
            if isinstance(exc, Refused) and task in self._unsure and "task" in str(exc).lower():
                return ""
            if exc.uncertain:
                self._unsure.add(task)
            raise
        self._unsure.discard(task)
        self._cards[card["task_id"]] = card
        while len(self._cards) > MOST_CARDS:
            self._cards.popitem(last=False)
        return code

    async def _file(self, room: str, name: str, content: bytes) -> str:
        media = await self._api.upload(name, content)
        return await self._send(room, {"msgtype": "file", "file": {"media_id": media}})

    async def _send(self, room: str, body: Mapping[str, Any]) -> str:
        kind, _, ident = room.partition(":")[2].partition("/")
        if kind == "chat":
            await self._send_group(ident, body)
            return ""
        return await self._send_member(ident, body)

    async def _send_group(self, chat: str, body: Mapping[str, Any]) -> None:
        # WeCom counts for each member, and the same people are in many war rooms: all groups share one budget.
        self._groups.take("", "messages of the application's groups")
        await self._api.call("appchat/send", {"chatid": chat, "safe": 0, **body})

    async def _send_member(self, user: str, body: Mapping[str, Any]) -> str:
        self._members.take(user, "the application's messages to one member")
        whole = {
            "touser": user,
            "agentid": self._app.agent_id,
            "enable_duplicate_check": 1,
            "duplicate_check_interval": DUPLICATE_S,
            **body,
        }
        row = await self._api.call("message/send", whole)
        if user.lower() in str(row.get("invaliduser") or "").lower().split("|"):
            text = WORDS[81013]
            raise SendFailed(f"{user}: {text.zh} / {text.en}", permanent=True)
        return str(row.get("response_code") or "")

    async def run(self) -> None:
        """Say what has waited, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            await self.again.flush()


def members_of(wanted: Sequence[str]) -> list[str]:
    """Without repeats, at most what a group takes."""
    return list(dict.fromkeys(filter(None, wanted)))[:2000]
