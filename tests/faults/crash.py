"""Named crash points, put around a bot from outside: every commit of the store, every POST of a phone provider.

What the process did is written to an event file, one line and one write(2) each, so that a kill loses none of it.
Stamps are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

COMMITS = ("open", "step", "claim", "record", "ack")
POINTS = (
    *(f"{side}-commit:{what}" for what in COMMITS for side in ("before", "after")),
    "before-post",
    "after-post",
)
_RANK = {what: rank for rank, what in enumerate(("look", "open", "step", "claim", "record", "ack"))}
_looked: ContextVar[dict[str, Any] | None] = ContextVar("looked", default=None)
_page: ContextVar[dict[str, Any] | None] = ContextVar("page", default=None)
"""What the present task does with a page it has claimed: {"generation", "database"}, the latter in s so far."""


class Recorder:
    """Writes events, and dies or stops where it was told to: at the `nth` time that `point` is passed."""

    def __init__(self, path: str, point: str = "", nth: int = 1, act: str = "kill") -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._point, self._left, self._act = point, nth, act

    def write(self, event: str, **facts: Any) -> None:
        row = {"e": event, "at": time.monotonic(), "pid": os.getpid(), "ran": running_s(), **facts}
        line = json.dumps(row | {"database": page["database"]} if (page := _page.get()) else row)
        os.write(self._file, line.encode() + b"\n")

    def reach(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self.write(self._act, point=point)
            os.kill(os.getpid(), signal.SIGKILL if self._act == "kill" else signal.SIGSTOP)


def running_s() -> float:
    """Seconds in which this thread ran or waited for a processor; the rest of an interval is waiting for others."""
    ran, waited, _ = Path("/proc/self/schedstat").read_bytes().split()
    return (int(ran) + int(waited)) / 1e9


def waited_s() -> float:
    """Seconds in which this thread waited for a processor."""
    return int(Path("/proc/self/schedstat").read_bytes().split()[1]) / 1e9


def install(recorder: Recorder) -> None:
    """Wrap the classes of the store and of the providers' HTTP."""
    _store(recorder)
    _posts(recorder)


def note(part: Any, what: str, **facts: Any) -> None:
    """Remember for the end of the transaction of `part` what it has done."""
    part._session.__dict__.setdefault("faults", []).append((what, facts))


def _store(recorder: Recorder) -> None:
    from bot.adapters.store import SqlStore
    from bot.adapters.store.escalations import SqlEscalations
    from bot.adapters.store.incidents import SqlIncidents
    from bot.adapters.store.outbox import SqlOutbox

    begin = SqlStore.begin

    @asynccontextmanager
    async def watched(self: SqlStore) -> AsyncIterator[Any]:
        what, done, page = "", [], _page.get()
        began = time.monotonic()
        try:
            async with begin(self) as tx:
                yield tx
                done = tx._session.__dict__.get("faults", [])
                what = max((one for one, _ in done), key=lambda one: _RANK[one], default="")
                if what in COMMITS:
                    recorder.reach(f"before-commit:{what}")
        finally:
            if page is not None:
                page["database"] += time.monotonic() - began
        for one, facts in done:
            if one == "look":
                facts["seen"]["read"] = time.monotonic()
            else:
                recorder.write(one, **facts)
        if what in COMMITS:
            recorder.reach(f"after-commit:{what}")

    SqlStore.begin = watched  # type: ignore[method-assign,assignment]
    _after(SqlOutbox, "claim", _claimed)
    _after(SqlOutbox, "finish", _finished)
    _after(SqlEscalations, "save", lambda self, _result, state: note(self, "step", incident=state.incident))
    _after(SqlEscalations, "begin", lambda self, _result, state: note(self, "step", incident=state.incident))
    _after(SqlIncidents, "save", _saved)
    _after(SqlIncidents, "look", _look)
    _after(SqlIncidents, "open", lambda self, result, *_a, **_k: note(self, "open", incident=result.id))


def _after(owner: type, name: str, then: Callable[..., None]) -> None:
    original = getattr(owner, name)

    async def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        at = time.monotonic()
        result = await original(self, *args, **kwargs)
        if then in (_look, _claimed):
            kwargs["since"] = at
        then(self, result, *args, **kwargs)
        return result

    setattr(owner, name, wrapped)


def _claimed(outbox: Any, rows: Any, *, since: float, kind: str | None = None, **_: Any) -> None:
    if rows and kind == "page":
        note(outbox, "claim", since=since, keys=[[row.key, row.generation] for row in rows])


def _finished(outbox: Any, done: bool, row: Any, *, state: str, **_: Any) -> None:
    if row.kind == "page":
        note(outbox, "record", key=row.key, generation=row.generation, state=state, done=done)


def _saved(incidents: Any, _result: Any, incident: Any) -> None:
    if incident.acked_at is not None and incident.state.value != "resolved":
        note(incidents, "ack", incident=incident.id, epoch=incident.epoch)


def _look(incidents: Any, _result: Any, _incident: str, *, since: float) -> None:
    seen = {"look": since, "looked": time.monotonic(), "waited": waited_s()}
    _looked.set(seen)
    note(incidents, "look", seen=seen)


def _posts(recorder: Recorder) -> None:
    from bot.adapters.pagers.http import Http
    from bot.app.deliver import Deliverer
    from bot.app.placing import Placer

    ask, run, place = Http.ask, Deliverer.run, Placer.place

    async def placing(self: Placer, row: Any, page: Any) -> Any:
        _page.set({"generation": row.generation, "database": 0.0})
        return await place(self, row, page)

    async def watched(self: Http, method: str, url: str, **request: Any) -> Any:
        key = dict(request.get("headers") or {}).get("idempotency-key")
        if method != "POST" or not key:
            return await ask(self, method, url, **request)
        recorder.reach("before-post")
        seen = dict(_looked.get() or {})
        waited = waited_s() - seen.pop("waited", 0.0) if seen else 0.0
        page = _page.get() or {}
        recorder.write("post", key=key, waited=waited, generation=page.get("generation", 0), **seen)
        try:
            answer = await ask(self, method, url, **request)
        except BaseException as exc:
            recorder.write("answer", key=key, error=f"{type(exc).__name__}: {exc}")
            recorder.reach("after-post")
            raise
        recorder.write("answer", key=key, status=answer.status)
        recorder.reach("after-post")
        return answer

    async def up(self: Deliverer, stop: Any) -> None:
        recorder.write("up")
        await run(self, stop)

    Http.ask = watched  # type: ignore[method-assign]
    Placer.place = placing  # type: ignore[method-assign]
    Deliverer.run = up  # type: ignore[method-assign]
