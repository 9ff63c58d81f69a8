"""Says a message in a channel, and edits it: every part of it exactly once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.files import upload
from bot.adapters.slack.fit import Fitted, Part, fit
from bot.adapters.slack.pace import Pace
from bot.adapters.slack.recent import Recent
from bot.adapters.slack.ref import Ref
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import Clock
from bot.domain.errors import SendFailed
from bot.domain.message import File, Message
from bot.domain.text import Lang

log = logging.getLogger(__name__)

GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""Answers to an edit after which the message is said anew."""
NO_THREAD = frozenset({"thread_not_found", "invalid_thread_ts", "cannot_reply_to_message"})
NO_TABLES = frozenset({"invalid_blocks", "invalid_blocks_format", "only_one_table_allowed", "invalid_attachments"})
SKEW = timedelta(seconds=60)
"""How far Slack's clock may be from ours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a message goes: under `thread`, "" for the channel itself."""

    channel: str
    thread: str
    lang: Lang


class Poster:
    """Keeps in memory what the outbox does not know yet: halves of messages, and sends of which no answer came."""

    def __init__(self, api: Api, clock: Clock, pace: Pace) -> None:
        self._api = api
        self._clock = clock
        self._pace = pace
        self._tables = True
        self._halves: Recent[Ref] = Recent()
        self._done: Recent[Ref] = Recent()
        self._uploads: dict[str, asyncio.Task[str]] = {}
        self._unsure: Recent[float] = Recent()
        self._shown: Recent[str] = Recent()

    async def put(self, message: Message, place: Place, old: Ref | None) -> Ref:
        """Say it or edit `old`. Raises SendFailed; the same call again goes on where this one stopped."""
        name = f"{place.channel} {message.key}"
        async with self._pace.turn(place.channel):
            # Where the record of a send was lost, the caller knows no reference, and we do.
            old = old or self._done.get(name)
            half = self._halves.get(name)
            if half is not None and (old is None or old.ts == half.ts):
                old = half
            try:
                ref = await self._put(message, place, old, name)
            except SlackRefused as exc:
                if not self._tables or exc.error not in NO_TABLES:
                    raise
                log.warning("Slack takes no table here (%s): tables are drawn as text from now on", exc.error)
                self._tables = False
                ref = await self._put(message, place, self._halves.get(name) or old, name)
            self._halves.pop(name)
            self._done.put(name, ref)
            return ref

    async def close(self) -> None:
        """Give up what is being uploaded."""
        for task in self._uploads.values():
            task.cancel()
        await asyncio.gather(*self._uploads.values(), return_exceptions=True)

    async def _put(self, message: Message, place: Place, old: Ref | None, name: str) -> Ref:
        fitted = fit(message, place.lang, tables=self._tables)
        ref = old or Ref(channel=place.channel, thread=place.thread)
        ref = await self._first(fitted.parts[0], ref, name)
        ref = await self._others(fitted, ref, name)
        ref = await self._files(fitted.files, ref, name)
        if message.pinned and not ref.pinned:
            ref = replace(ref, pinned=await self._pin(ref))
        return ref

    async def _first(self, part: Part, ref: Ref, name: str) -> Ref:
        if ref.ts and await self._edit(ref.channel, ref.ts, part):
            return ref
        try:
            channel, ts = await self._post(ref.channel, part, ref.thread)
            ref = Ref(channel=channel, ts=ts, thread=ref.thread)
        except SlackRefused as exc:
            if not ref.thread or exc.error not in NO_THREAD:
                raise
            channel, ts = await self._post(ref.channel, part, "")
            ref = Ref(channel=channel, ts=ts)
        self._halves.put(name, ref)
        return ref

    async def _others(self, fitted: Fitted, ref: Ref, name: str) -> Ref:
        """What goes under the first part: as many as there are, and no leftovers of an earlier edit."""
        for n, part in enumerate(fitted.parts[1:]):
            known = ref.more[n] if n < len(ref.more) else ""
            if not known or not await self._edit(ref.channel, known, part):
                _, ts = await self._post(ref.channel, part, ref.root)
                ref = replace(ref, more=(*ref.more[:n], ts, *ref.more[n + 1 :]))
                self._halves.put(name, ref)
        for ts in reversed(ref.more[len(fitted.parts) - 1 :]):
            await self._delete(ref.channel, ts)
            ref = replace(ref, more=ref.more[:-1])
            self._halves.put(name, ref)
        return ref

    async def _files(self, files: tuple[File, ...], ref: Ref, name: str) -> Ref:
        for file in files:
            content = base64.b64decode(file.content) if file.encoded else file.content.encode()
            digest = hashlib.sha256(file.name.encode() + b"\0" + content).hexdigest()[:16]
            if digest in ref.files:
                continue
            try:
                ident = await self._uploaded(f"{name} {digest}", file, content, ref)
            except SendFailed as exc:
                if not exc.permanent:
                    raise
                log.warning("the file %s cannot be attached: %s", file.name, exc)
                ident = "-"
                await self._post_text(ref, f"📎 {file.name}: {exc}")
            ref = replace(ref, files={**ref.files, digest: ident})
            self._halves.put(name, ref)
        return ref

    async def _uploaded(self, name: str, file: File, content: bytes, ref: Ref) -> str:
        """The id of the file. A send is stopped after some seconds; a large file goes on, and the next try finds it."""
        task = self._uploads.get(name)
        if task is None:
            task = asyncio.create_task(upload(self._api, file.name, content, channel=ref.channel, thread=ref.root))
            self._uploads[name] = task
        try:
            return await asyncio.shield(task)
        finally:
            if task.done():
                self._uploads.pop(name, None)

    async def _pin(self, ref: Ref) -> bool:
        try:
            await self._api.call(self._api.client.pins_add, channel=ref.channel, timestamp=ref.ts)
        except SlackRefused as exc:
            if exc.error != "already_pinned":
                log.warning("a summary cannot be pinned: %s", exc)
                return False
        except SendFailed as exc:
            log.warning("a summary is not pinned yet: %s", exc)
            return False
        return True

    async def _post(self, channel: str, part: Part, thread: str) -> tuple[str, str]:
        """Say one part; its channel (an account's is another one than was asked for) and ts.

        One of which nobody knows whether it arrived is looked for first.
        """
        mark = str(part.blocks[0]["block_id"]).rpartition("~")[0]
        name = f"{channel} {mark}"
        since = self._unsure.get(name)
        if since is not None:
            found = await self._find(channel, mark, since, thread)
            if found and await self._edit(channel, found, part):
                self._unsure.pop(name)
                return channel, found
        self._unsure.put(name, since or self._clock.now().timestamp())
        args: dict[str, Any] = {"channel": channel, "text": part.text, "blocks": list(part.blocks)}
        args |= {"thread_ts": thread} if thread else {}
        try:
            async with self._pace.send(channel):
                answer = await self._api.call(
                    self._api.client.chat_postMessage, **args, unfurl_links=False, unfurl_media=False
                )
        except SendFailed as exc:
            if not exc.uncertain:
                self._unsure.pop(name)
            raise
        self._unsure.pop(name)
        channel, ts = str(answer.get("channel") or channel), str(answer.get("ts", ""))
        self._shown.put(f"{channel} {ts}", _digest(part))
        return channel, ts

    async def _post_text(self, ref: Ref, text: str) -> None:
        async with self._pace.send(ref.channel):
            await self._api.call(
                self._api.client.chat_postMessage,
                channel=ref.channel,
                text=text,
                thread_ts=ref.root,
                unfurl_links=False,
            )

    async def _edit(self, channel: str, ts: str, part: Part) -> bool:
        """Show this instead, unless it is what is shown; False when the message is gone."""
        name, digest = f"{channel} {ts}", _digest(part)
        if self._shown.get(name) == digest:
            return True
        try:
            async with self._pace.send(channel):
                await self._api.call(
                    self._api.client.chat_update, channel=channel, ts=ts, text=part.text, blocks=list(part.blocks)
                )
        except SlackRefused as exc:
            if exc.error in GONE:
                return False
            raise
        except SendFailed:
            # It may have arrived or not: what is shown is not known any more.
            self._shown.pop(name)
            raise
        self._shown.put(name, digest)
        return True

    async def _delete(self, channel: str, ts: str) -> None:
        try:
            await self._api.call(self._api.client.chat_delete, channel=channel, ts=ts)
        except SlackRefused as exc:
            log.info("an outdated part of a message stays: %s", exc)

    async def _find(self, channel: str, mark: str, since: float, thread: str) -> str:
        """The ts of our message that carries this mark; "" when there is none, or when nobody lets us look."""
        oldest = f"{since - SKEW.total_seconds():.6f}"
        try:
            if thread:
                answer = await self._api.call(
                    self._api.client.conversations_replies, channel=channel, ts=thread, oldest=oldest, limit=200
                )
            else:
                answer = await self._api.call(
                    self._api.client.conversations_history, channel=channel, oldest=oldest, limit=200
                )
        except SlackRefused as exc:
            log.warning("cannot look whether a message arrived: %s", exc)
            return ""
        for said in answer.get("messages", []):
            if any(str(block.get("block_id", "")).rpartition("~")[0] == mark for block in said.get("blocks", [])):
                return str(said.get("ts", ""))
        return ""


def _digest(part: Part) -> str:
    return hashlib.sha256(repr((part.text, part.blocks)).encode("utf-8", "replace")).hexdigest()
