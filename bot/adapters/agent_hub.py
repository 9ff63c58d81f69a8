"""The hub: agents dial in over WebSocket, jobs go out signed, results are believed only for jobs that were issued."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.domain.errors import FrameError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe
from bot.wire.frames import (
    MAX_FRAME,
    PROTOCOL,
    REPLACED,
    Hello,
    Job,
    Refused,
    Result,
    Status,
    Welcome,
    decode,
    encode,
)
from bot.wire.signing import Signer, Verifier

log = logging.getLogger("warroom.hub")

HELLO_WITHIN_S = 10.0
JOB_LIFE_S = 60.0
GRACE_S = 2.0
"""How much later than a probe's own limit its answer may come."""
SEND_WITHIN_S = 5.0
POLICY_CLOSED = 1008


class _Asked(asyncio.Queue[tuple[int, Observation]]):
    """What came in for one call of `ask`: the request's place in it, and the observation."""

    async def next(self, due: float) -> tuple[int, Observation]:
        """The next one; what is in is handed out however late. Raises TimeoutError at `due` (monotonic, s)."""
        if not self.empty():
            return self.get_nowait()
        return await asyncio.wait_for(self.get(), max(0.0, due - time.monotonic()))


@dataclass(slots=True)
class _Pending:
    """A job that is out. `deliver` gets exactly one observation; `asked` is the question it belongs to."""

    job: Job
    asked: _Asked
    deliver: Callable[[Observation], None]


@dataclass(slots=True, eq=False)
class _Link:
    """One agent's connection."""

    socket: WebSocket
    verifier: Verifier
    agent: Agent
    pending: dict[str, _Pending] = field(default_factory=dict)


class AgentHub:
    """AgentTransport over WebSocket. `known` are agents of earlier runs: absent until they dial in again."""

    def __init__(
        self,
        *,
        token: str,
        signer: Signer,
        known: Iterable[Agent] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._token = token.encode()
        self._signer = signer
        self._agents = {a.name: replace(a, state="lost") for a in known}
        self._links: dict[str, _Link] = {}
        self._on_change = on_change
        self._closing: set[asyncio.Task[None]] = set()

    def routes(self) -> list[BaseRoute]:
        """What the web server mounts."""
        return [WebSocketRoute("/agents/connect", self._connect)]

    def agents(self) -> Sequence[Agent]:
        """By region, vpc and name, so that matrices keep their columns."""
        return sorted(self._agents.values(), key=lambda a: (a.vantage == "outside", a.region, a.vpc, a.name))

    def forget(self, name: str) -> bool:
        """Drop an agent that is gone for good; False when it is unknown or connected."""
        if name in self._links or self._agents.pop(name, None) is None:
            return False
        self._on_change()
        return True

    async def ask(self, requests: Sequence[ProbeRequest], *, deadline_s: float) -> AsyncIterator[Observation]:
        """See `bot.app.ports.AgentTransport.ask`."""
        asked = _Asked()
        waiting = dict(enumerate(requests))
        due = time.monotonic() + deadline_s
        sends = [asyncio.create_task(self._issue(r, i, asked)) for i, r in waiting.items()]
        try:
            while waiting:
                try:
                    index, observation = await asked.next(due)
                except TimeoutError:
                    break
                del waiting[index]
                yield observation
            self._withdraw(asked)
            for request in waiting.values():
                yield self._lost(request, "no answer by the deadline")
        finally:
            for task in sends:
                task.cancel()
            self._withdraw(asked)

    async def _issue(self, request: ProbeRequest, index: int, asked: _Asked) -> None:
        def deliver(observation: Observation) -> None:
            asked.put_nowait((index, observation))

        link = self._links.get(request.agent)
        if link is None:
            deliver(self._lost(request, "not connected"))
            return
        now = time.time()
        job = Job(
            id=secrets.token_hex(8),
            audience=request.agent,
            nonce=secrets.token_hex(16),
            issued=now,
            expires=now + JOB_LIFE_S,
            request=request,
        )
        try:
            text = encode(job, self._signer)
        except FrameError as exc:
            deliver(self._failed(request, Failure.UNSUPPORTED, f"the job cannot be sent: {exc}"))
            return
        link.pending[job.id] = _Pending(job=job, asked=asked, deliver=deliver)
        try:
            await asyncio.wait_for(link.socket.send_text(text), SEND_WITHIN_S)
        except (WebSocketDisconnect, RuntimeError, OSError, TimeoutError):
            self._drop(link, "connection broke while sending")
            self._hang_up(link)
            return
        await asyncio.sleep(request.timeout_s + GRACE_S)
        late = link.pending.pop(job.id, None)
        if late is not None:
            deliver(self._lost(request, f"no answer within {request.timeout_s + GRACE_S:.0f} s"))

    def _withdraw(self, asked: _Asked) -> None:
        """Take back the jobs of this question that are still out; an answer that comes later finds no job."""
        for link in self._links.values():
            for key in [key for key, pending in link.pending.items() if pending.asked is asked]:
                del link.pending[key]

    async def _connect(self, socket: WebSocket) -> None:
        shown = socket.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not self._token or not hmac.compare_digest(shown.encode(), self._token):
            log.warning("an agent from %s showed a wrong token", socket.client.host if socket.client else "?")
            await socket.close(POLICY_CLOSED)
            return
        await socket.accept()
        try:
            link = await self._introduce(socket)
        except (FrameError, TimeoutError, WebSocketDisconnect) as exc:
            log.warning("an agent did not introduce itself: %s", str(exc) or "no hello in time")
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                # Refused is for good; one who was only slow may try again.
                if isinstance(exc, FrameError):
                    await socket.send_text(encode(Refused(reason=str(exc)[:1000])))
                await socket.close(POLICY_CLOSED)
            return
        try:
            await self._listen(link)
        finally:
            self._drop(link, "connection closed")

    async def _introduce(self, socket: WebSocket) -> _Link:
        text = await asyncio.wait_for(_text(socket), HELLO_WITHIN_S)
        hello = decode(text)
        if not isinstance(hello, Hello):
            raise FrameError("the first frame must be a hello")
        if hello.protocol != PROTOCOL:
            raise FrameError(f"agent speaks protocol {hello.protocol}, this hub {PROTOCOL}; install the same version")
        verifier = Verifier(hello.public_key)
        decode(text, verifier)  # proves the agent holds the key it shows
        name = hello.agent.name.strip()
        if not name or not hello.agent.region or not hello.agent.vantage:
            raise FrameError("an agent needs a name, a region and a vantage point")
        old = self._links.get(name)
        if old is not None and old.verifier.public != hello.public_key:
            raise FrameError(f"an agent named {name!r} with another key is connected; choose another --name")
        agent = replace(hello.agent, name=name, state="ready", last_seen=_now())
        link = _Link(socket=socket, verifier=verifier, agent=agent)
        if old is not None:
            self._drop(old, "the agent connected again")
            self._hang_up(old, REPLACED)
        # The name is taken before the first await, so that of two who want it at once one is refused.
        self._links[name] = link
        try:
            await socket.send_text(encode(Welcome(public_key=self._signer.public, now=time.time())))
        except BaseException:
            self._drop(link, "connection broke while it was welcomed")
            raise
        self._agents[name] = agent
        log.info("agent %s connected (%s, %s)", name, agent.region, agent.vantage)
        self._on_change()
        return link

    async def _listen(self, link: _Link) -> None:
        while True:
            try:
                text = await _text(link.socket)
            except (WebSocketDisconnect, RuntimeError):
                return
            except FrameError as exc:
                log.warning("agent %s: %s", link.agent.name, exc)
                continue
            if len(text) > MAX_FRAME:
                log.warning("agent %s sent %d bytes at once; ignored", link.agent.name, len(text))
                continue
            try:
                self._take(link, text)
            except FrameError as exc:
                log.warning("agent %s: %s", link.agent.name, exc)

    def _take(self, link: _Link, text: str) -> None:
        frame = decode(text, link.verifier)
        if isinstance(frame, Status):
            link.agent = replace(link.agent, state="draining" if frame.state == "draining" else "ready")
            self._agents[link.agent.name] = link.agent
            self._on_change()
            return
        if not isinstance(frame, Result):
            raise FrameError(f"unexpected {type(frame).__name__.lower()} frame")
        pending = link.pending.get(frame.job)
        if pending is None or pending.job.nonce != frame.nonce:
            raise FrameError(f"a result for job {frame.job!r} that is not out; ignored")
        del link.pending[frame.job]
        link.agent = replace(link.agent, last_seen=_now(), lag_ms=frame.lag_ms)
        self._agents[link.agent.name] = link.agent
        pending.deliver(
            observe(pending.job.request, link.agent, frame.outcome, at=_at(frame.at), took_ms=frame.took_ms)
        )

    def _drop(self, link: _Link, why: str) -> None:
        for pending in list(link.pending.values()):
            pending.deliver(self._lost(pending.job.request, why))
        link.pending.clear()
        if self._links.get(link.agent.name) is link:
            del self._links[link.agent.name]
            self._agents[link.agent.name] = replace(link.agent, state="lost", last_seen=_now())
            log.info("agent %s lost: %s", link.agent.name, why)
            self._on_change()

    def _hang_up(self, link: _Link, code: int = POLICY_CLOSED) -> None:
        """Close a dropped link, lest its agent believes itself connected; one that does not read delays nobody."""

        async def close() -> None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await link.socket.close(code)

        task = asyncio.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _lost(self, request: ProbeRequest, why: str) -> Observation:
        """A lost agent is an observation too: its trouble, never the target's."""
        return self._failed(request, Failure.AGENT_LOST, why)

    def _failed(self, request: ProbeRequest, failure: Failure, why: str) -> Observation:
        agent = self._agents.get(request.agent) or Agent(name=request.agent, region="?", vantage="?", state="lost")
        outcome = Outcome(ok=False, failure=failure, fault_of=FaultOf.AGENT, detail={"reason": why})
        return observe(request, agent, outcome, at=_now(), took_ms=0.0)


def _now() -> datetime:
    return datetime.now(UTC)


def _at(epoch: float) -> datetime:
    """The agent's own word on when; a clock beyond all bounds is replaced by ours."""
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return _now()


async def _text(socket: WebSocket) -> str:
    """The next text frame. Raises FrameError for a binary one, WebSocketDisconnect at the end."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1006)
    text = message.get("text")
    if not isinstance(text, str):
        raise FrameError("frames are text; a binary one came")
    return text
