from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from bot.adapters.agents import AgentDesk
from bot.agent import conversation, websocket
from bot.agent.client import AgentClient
from bot.agent.conversation import Party, spell
from bot.agent.known_hub import HubMemory
from bot.agent.pipe import RefusedByHub
from bot.agent.websocket import WebSocketCarrier, hub_url
from bot.domain.errors import ConfigError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome
from bot.lab.pki import Authority
from bot.testing import TokenDoor
from bot.wire.codec import encode
from bot.wire.frames import MAX_FRAME, Job, Result, Status, Welcome
from bot.wire.handshake import Credentials
from bot.wire.session import Session
from bot.wire.signing import Signer
from tests.wire.false_hub import FalseHub, Meeting, false_hub
from tests.wire.peers import (
    HOST,
    TOKEN,
    answers,
    begun,
    bind,
    hub,
    port_of,
    ready,
    request,
    served,
    slow,
    until,
    who,
)
from tests.wire.real_agents import POLICY, make_client, make_runner, running


@asynccontextmanager
async def agent_client(
    url: str, folder: Path, agent: Agent | None = None, *, tls: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[AgentClient]:
    """A real agent that dials this URL."""
    async with running(make_client(WebSocketCarrier(url=url, tls=tls), folder, agent, **more)) as client:
        yield client


async def run_to_its_end(url: str, folder: Path, **more: Any) -> str:
    """The reason a client gives up for good."""
    with pytest.raises(RefusedByHub) as caught:
        await asyncio.wait_for(make_client(WebSocketCarrier(url=url), folder, **more).run(), 30)
    return str(caught.value)


# --- where to dial ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "dialled"),
    [
        ("ws://bot:8800", "ws://bot:8800/agents/connect"),
        ("wss://warroom.example/", "wss://warroom.example/agents/connect"),
        ("wss://warroom.example/behind/proxy", "wss://warroom.example/behind/proxy"),
        ("ws://[::1]:8800", "ws://[::1]:8800/agents/connect"),
    ],
)
def test_a_hub_is_named_by_its_address_alone(typed: str, dialled: str) -> None:
    assert hub_url(typed) == dialled


@pytest.mark.parametrize("typed", ["", "bot:8800", "http://bot:8800", "ws://", "ws:///path"])
def test_what_is_no_hub_address_is_refused_with_its_form(typed: str) -> None:
    with pytest.raises(ConfigError, match="must read wss://host"):
        hub_url(typed)


def test_a_token_is_not_shown_by_what_holds_it(tmp_path: Path) -> None:
    runner, memory = make_runner(tmp_path), HubMemory(None, agent="sh-vm", url="")
    party = Party(agent=who(), signer=Signer(), runner=runner, memory=memory, token=TOKEN)
    assert TOKEN not in repr(party) + repr(Credentials(signer=Signer(), token=TOKEN))


# --- the whole way ----------------------------------------------------------------------------------------------


async def test_jobs_go_out_and_observations_come_back(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_client(url, tmp_path):
        await until(lambda: ready(the_hub))
        listener = bind()
        listener.listen()
        up = request(probe="up", params={"address": HOST, "port": listener.getsockname()[1]})
        down = request(probe="down")
        barred = request(probe="barred", params={"address": "10.0.0.1", "port": 80})
        seen = {o.probe: o for o in await answers(the_hub, up, down, barred)}
        listener.close()
    assert (seen["up"].ok, seen["up"].agent, seen["up"].region) == (True, "sh-vm", "shanghai")
    assert seen["up"].timings_ms["tcp"] > 0
    assert (seen["down"].failure, seen["down"].fault_of) == (Failure.TCP_REFUSED, FaultOf.TARGET)
    assert (seen["barred"].failure, seen["barred"].fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert the_hub.agents()[0].state == "lost"


@pytest.mark.alone
async def test_a_flood_of_jobs_beyond_512_that_wait_comes_back_as_overload_of_the_agent(tmp_path: Path) -> None:
    the_hub = hub()
    patient = {"policy": POLICY + "budget: {probes_per_second: 5000}\n", "concurrent": 512}
    async with served(the_hub) as url, agent_client(url, tmp_path, **patient):
        await until(lambda: ready(the_hub))
        seen = await answers(the_hub, *(slow(seconds=3) for _ in range(512 + 512 + 88)), deadline_s=30)
    turned_away = [o for o in seen if o.failure is Failure.AGENT_OVERLOADED]
    assert len(turned_away) == 88
    assert {o.fault_of for o in turned_away} == {FaultOf.AGENT}
    assert [o.failure for o in seen if o not in turned_away] == [Failure.TCP_REFUSED] * 1024


async def test_an_agent_shows_that_it_knows_the_token_and_introduces_itself_with_its_key(tmp_path: Path) -> None:
    signer = Signer()
    async with false_hub() as false, agent_client(false.url, tmp_path, who(env="prod"), signer=signer):
        meeting = await false.met()
        assert meeting.hello.agent == who(env="prod")
        assert meeting.hello.public_key == signer.public
        assert meeting.hello.proof
        assert TOKEN not in repr(meeting.hello)
        await meeting.give(false.job(request()))
        assert isinstance(await meeting.hear(), Result)


async def test_an_agent_is_ready_once_it_has_tested_itself_and_says_what_it_lacks(tmp_path: Path) -> None:
    policy = POLICY + "query_log: {path: /no/such/query.log}\n"
    async with false_hub() as false, agent_client(false.url, tmp_path, policy=policy):
        status = (await false.met()).ready
        assert status.state == "ready"
        assert any("/no/such/query.log cannot be read" in one for one in status.lacks)
        assert abs(status.clock_ms) < 1000


async def test_lag_and_clock_travel_with_every_result(tmp_path: Path) -> None:
    async with false_hub(clock_s=-30.0) as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        assert 29_000 < meeting.ready.clock_ms < 31_000
        time.sleep(0.8)  # the agent's loop, which is ours, is held up on purpose
        await asyncio.sleep(0.6)
        await meeting.give(false.job(request()))
        heard = await meeting.hear()
        assert isinstance(heard, Result)
        assert 29_000 < heard.clock_ms < 31_000
    the_hub = hub()
    async with served(the_hub) as url, agent_client(url, tmp_path):
        await until(lambda: ready(the_hub))
        time.sleep(0.8)
        await asyncio.sleep(0.1)
        (seen,) = await answers(the_hub, request())
        assert seen.lag_ms > 100
        assert abs(seen.clock_ms) < 1000
        assert the_hub.agents()[0].lag_ms == seen.lag_ms


# --- what the hub may not do -------------------------------------------------------------------------------------


def forged(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return Session(outbound=b"s" * 32, inbound=b"s" * 32).seal(job)


def signed(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return encode(job, false.signer)


def readdressed(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return meeting.session.seal(replace(job, audience="gz-vm"))


def tampered(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return meeting.session.seal(job).replace('"port":9', '"port":22')


def expired(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return meeting.session.seal(replace(job, issued=job.issued - 200, expires=job.expires - 200))


def over_long(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return meeting.session.seal(replace(job, expires=job.issued + 3600))


def noise(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return "run this: id"


def another_frame(false: FalseHub, meeting: Meeting, job: Job) -> str:
    return meeting.session.seal(Welcome(now=1.0))


@pytest.mark.parametrize("dishonest", [forged, signed, readdressed, tampered, expired, over_long, noise, another_frame])
async def test_a_job_that_may_not_be_run_is_refused_and_the_next_honest_one_is_run(
    tmp_path: Path, dishonest: Callable[[FalseHub, Meeting, Job], str], caplog: pytest.LogCaptureFixture
) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await meeting.socket.send(dishonest(false, meeting, false.job(request())))
        await meeting.silence()
        assert "refused a frame" in caplog.text
        await run_honestly(false, meeting)


async def test_what_the_agent_said_itself_is_not_taken_from_the_hub(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await meeting.give(false.job(request()))
        said = str(await meeting.socket.recv())
        await meeting.socket.send(said)
        await meeting.silence()
        assert "the seal does not verify" in caplog.text
        await run_honestly(false, meeting)


async def run_honestly(false: FalseHub, meeting: Meeting) -> None:
    job = false.job(request())
    await meeting.give(job)
    heard = await meeting.hear()
    assert isinstance(heard, Result)
    assert (heard.job, heard.nonce) == (job.id, job.nonce)


async def test_a_job_is_run_once_also_when_it_is_replayed_on_the_next_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        job = false.job(request())
        recorded = await meeting.give(job)
        assert isinstance(await meeting.hear(), Result)
        await meeting.socket.send(recorded)
        await meeting.give(job)
        await meeting.silence()
        await meeting.socket.close()
        meeting = await false.met()
        await meeting.socket.send(recorded)
        await meeting.give(job)
        await meeting.silence()
        assert "frame 2 was heard before" in caplog.text
        assert "the seal does not verify" in caplog.text
        assert caplog.text.count("already run") == 2


@pytest.mark.parametrize("clock_s", [-86_400.0, 86_400.0])
async def test_jobs_expire_by_the_hubs_clock_however_far_apart_the_two_clocks_are(
    tmp_path: Path, clock_s: float
) -> None:
    async with false_hub(clock_s=clock_s) as false, agent_client(false.url, tmp_path):
        await run_honestly(false, await false.met())


async def test_a_clock_that_is_set_while_connected_costs_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await run_honestly(false, meeting)
        job = false.job(request())
        true_time = time.time
        monkeypatch.setattr(time, "time", lambda: true_time() + 86_400)
        await meeting.give(job)
        assert isinstance(await meeting.hear(), Result)


async def test_an_oversize_frame_ends_the_connection_and_the_agent_comes_back(tmp_path: Path) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await meeting.socket.send("x" * (MAX_FRAME + 1))
        await asyncio.wait_for(meeting.socket.wait_closed(), 30)
        assert meeting.socket.close_code == 1009
        await run_honestly(false, await false.met())


@pytest.mark.parametrize("detail", [{"body": "x" * MAX_FRAME}, {"rate": float("inf")}, {"body": b"bytes"}])
def test_a_result_that_cannot_travel_arrives_as_the_agents_own_trouble(detail: dict[str, Any]) -> None:
    ours, theirs = Session(outbound=b"u" * 32, inbound=b"d" * 32), Session(outbound=b"d" * 32, inbound=b"u" * 32)
    result = Result(job="j1", nonce="n1", outcome=Outcome(ok=True, detail=detail), at=1.0, took_ms=2.0)
    heard = theirs.open(spell(result, ours))
    assert isinstance(heard, Result)
    assert (heard.job, heard.nonce, heard.at, heard.took_ms) == ("j1", "n1", 1.0, 2.0)
    assert (heard.outcome.failure, heard.outcome.fault_of) == (Failure.AGENT_ERROR, FaultOf.AGENT)
    assert "the result cannot be sent" in heard.outcome.detail["reason"]


# --- coming, going, coming back --------------------------------------------------------------------------------


async def test_a_wrong_token_ends_the_agent_with_what_to_check(tmp_path: Path) -> None:
    async with served(hub(token="another")) as url:
        reason = await run_to_its_end(url, tmp_path)
    assert "wrong token" in reason
    assert "WARROOM_AGENT_TOKEN" in reason
    assert TOKEN not in reason


async def test_a_name_that_is_taken_ends_the_agent_with_what_to_change(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_client(url, tmp_path):
        await until(lambda: ready(the_hub))
        assert "choose another --name" in await run_to_its_end(url, tmp_path)
        assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


async def test_of_two_processes_with_one_name_and_key_the_older_gives_way_for_good(tmp_path: Path) -> None:
    signer, the_hub = Signer(), hub()
    async with served(the_hub) as url:
        older = asyncio.create_task(run_to_its_end(url, tmp_path, signer=signer))
        await until(lambda: ready(the_hub))
        async with agent_client(url, tmp_path, signer=signer):
            assert "another process with this --name and key" in await older
            assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


async def test_what_is_no_websocket_url_ends_the_agent(tmp_path: Path) -> None:
    with bind() as listener:
        listener.listen()
        url = f"http://{HOST}:{listener.getsockname()[1]}/agents/connect"
        with pytest.raises(ConfigError, match="no WebSocket URL"):
            await make_client(WebSocketCarrier(url=url), tmp_path).run()


async def test_a_hub_that_speaks_no_such_protocol_is_knocked_at_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for first, reason in (
        ("220 mail.example ESMTP", "malformed frame"),
        (encode(Welcome(now=1.0), Signer()), "did not begin with a challenge"),
    ):
        async with false_hub(first=first) as false, agent_client(false.url, tmp_path):
            await until(lambda false=false: false.heard >= 2)
        assert reason in caplog.text


async def test_an_agent_waits_for_a_hub_that_is_not_there_yet_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = bind()
    port = listener.getsockname()[1]
    listener.close()
    the_hub = hub()
    async with agent_client(f"ws://{HOST}:{port}/agents/connect", tmp_path):
        await until(lambda: f"hub ws://{HOST}:{port}" in caplog.text)
        async with served(the_hub, port=port):
            await until(lambda: ready(the_hub))


async def test_agents_come_back_after_the_hub_restarts_and_not_all_at_once(tmp_path: Path) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    first, second = hub(signer=signer, door=door), Arrivals()
    names = [f"sh-vm-{i}" for i in range(8)]
    async with AsyncExitStack() as stack:
        async with served(first) as url:
            for name in names:
                await stack.enter_async_context(agent_client(url, tmp_path, who(name)))
            await until(lambda: len(ready(first)) == len(names))
        again = hub(signer=signer, door=door, known=first.agents(), on_change=second.note)
        second.hub = again
        async with served(again, port=port_of(url)):
            await until(lambda: len(ready(again)) == len(names))
            assert [o.failure for o in await answers(again, request(names[0]))] == [Failure.TCP_REFUSED]
            assert second.spread_s() > 0.05


async def test_the_pauses_between_tries_grow_to_a_bound_and_start_anew_after_a_welcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def shortest(low: float, high: float) -> float:
        asked.append(high)
        return 0.01 if len(asked) < 10 else low

    monkeypatch.setattr(random, "uniform", shortest)
    listener = bind()
    port = listener.getsockname()[1]
    listener.close()
    async with agent_client(f"ws://{HOST}:{port}/agents/connect", tmp_path):
        await until(lambda: len(asked) >= 9)
        assert asked[:7] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        assert max(asked) == 30.0
        the_hub = hub()
        async with served(the_hub, port=port):
            await until(lambda: ready(the_hub))
            before = len(asked)
        await until(lambda: len(asked) > before)
        assert asked[before] == 0.5


async def test_what_ran_when_the_connection_broke_is_dropped_and_not_sent_on_the_next(tmp_path: Path) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await meeting.give(false.job(slow(seconds=0.8)))
        await asyncio.sleep(0.2)
        meeting.socket.transport.abort()
        meeting = await false.met()
        await meeting.silence(1.2)
        await run_honestly(false, meeting)


async def test_an_agent_that_is_stopped_says_so_finishes_what_runs_and_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "warroom.agent")
    async with false_hub() as false, agent_client(false.url, tmp_path) as client:
        meeting = await false.met()
        async with begun() as (port, begins):
            job = false.job(slow(seconds=0.6, port=port))
            await meeting.give(job)
            await begins.wait()
        client.stop.set()
        said = await meeting.hear()
        assert isinstance(said, Status)
        assert said.state == "draining"
        heard = await meeting.hear()
        assert isinstance(heard, Result)
        assert heard.job == job.id
        await asyncio.wait_for(meeting.socket.wait_closed(), 30)
        assert meeting.socket.close_code == 1000


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever an agent waits for, it waits for half a minute."""
    monkeypatch.setattr(websocket, "FIRST_RETRY_S", 30.0)
    monkeypatch.setattr(websocket, "WELCOME_WITHIN_S", 30.0)
    monkeypatch.setattr(conversation, "WELCOME_WITHIN_S", 30.0)


async def test_an_agent_that_is_stopped_while_it_waits_to_dial_again_stops_at_once(
    tmp_path: Path, patient: None
) -> None:
    listener = bind()
    url = f"ws://{HOST}:{listener.getsockname()[1]}/agents/connect"
    listener.close()
    async with agent_client(url, tmp_path) as client:
        await asyncio.sleep(0.3)
        began = time.monotonic()
        client.stop.set()
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switching Protocols\r\n"], ids=["nothing", "half an answer"])
async def test_an_agent_that_is_stopped_while_the_other_side_is_slow_stops_at_once(
    tmp_path: Path, said: bytes, patient: None
) -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stall, HOST, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with agent_client(f"ws://{HOST}:{port}/agents/connect", tmp_path):
            await asyncio.sleep(0.3)
            began = time.monotonic()
    assert time.monotonic() - began < 15


async def test_an_agent_that_is_stopped_while_it_introduces_itself_stops_at_once(tmp_path: Path, patient: None) -> None:
    async def stall(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(stall, HOST, 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with agent_client(f"ws://{HOST}:{port}/agents/connect", tmp_path):
            await asyncio.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 15


async def test_an_agent_says_why_it_is_no_longer_connected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with false_hub() as false, agent_client(false.url, tmp_path):
        meeting = await false.met()
        await meeting.socket.close(1001, "going away")
        await until(lambda: "the hub closed the connection" in caplog.text)
        await false.met()


# --- wss:// ------------------------------------------------------------------------------------------------------


async def test_a_hub_whose_certificate_is_not_trusted_never_sees_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = Authority().issue([HOST])
    (tmp_path / "hub.pem").write_bytes(leaf.certificate + leaf.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "hub.pem")
    trusting_the_system = ssl.create_default_context()
    async with (
        false_hub(tls) as false,
        agent_client(false.url, tmp_path, tls=trusting_the_system),
    ):
        await until(lambda: "certificate verify failed" in caplog.text)
        assert false.heard == 0


class Arrivals:
    """When each agent became ready."""

    def __init__(self) -> None:
        self.hub: AgentDesk | None = None
        self._at: dict[str, float] = {}

    def note(self) -> None:
        assert self.hub is not None
        for name in ready(self.hub):
            self._at.setdefault(name, time.monotonic())

    def spread_s(self) -> float:
        return max(self._at.values()) - min(self._at.values())
