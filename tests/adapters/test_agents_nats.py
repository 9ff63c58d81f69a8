"""What is NATS's own: hubs and servers that come and go, strangers on the same subjects, logins and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client

from bot.adapters.agents import AgentDesk
from bot.adapters.agents import nats as hub_side
from bot.adapters.agents.nats import NatsAddress
from bot.agent import nats as agent_side
from bot.agent.client import AgentClient
from bot.agent.known_hub import HubMemory
from bot.agent.nats import NatsCarrier
from bot.agent.pipe import RefusedByHub
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent
from bot.lab.pki import Authority
from bot.testing import TokenDoor
from bot.wire.frames import MAX_FRAME, Status
from bot.wire.nats import NatsLogin, Subjects, server
from bot.wire.signing import Signer
from tests.wire.on_nats import HOST, OwnServer, nats_puppet, on_nats, own_place, own_server, stranger
from tests.wire.peers import TOKEN, answers, hub, ready, request, state_of, until, who
from tests.wire.real_agents import make_client, running

BOTH = {"warroom.hub", "warroom.agent"}


@pytest.fixture
def place() -> NatsAddress:
    return own_place()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in life takes a tenth of it here."""
    for module in (hub_side, agent_side):
        monkeypatch.setattr(module, "BEAT_S", 0.2)
        monkeypatch.setattr(module, "SILENT_S", 2.0)
        for pipe in ("_Link", "_Pipe"):
            if hasattr(module, pipe):
                monkeypatch.setattr(getattr(module, pipe), "beat_s", 0.2)
    monkeypatch.setattr(hub_side, "ANNOUNCE_S", 0.3)
    monkeypatch.setattr(hub_side, "RETRY_S", 0.2)
    monkeypatch.setattr(agent_side, "KNOCK_WITHIN_S", 0.2)


def agent_on(
    place: NatsAddress, folder: Path, agent: Agent | None = None, **more: object
) -> AbstractAsyncContextManager[AgentClient]:
    """A real agent that talks to the hubs of this place."""
    return running(make_client(carrier(place), folder, agent, **more))  # type: ignore[arg-type]


def carrier(place: NatsAddress) -> NatsCarrier:
    return NatsCarrier(server=place.server, login=place.login, subjects=place.subjects, tls=place.tls)


async def works(of: AgentDesk, name: str = "sh-vm") -> bool:
    (seen,) = await answers(of, request(name))
    return seen.failure is Failure.TCP_REFUSED


# --- hubs and servers come and go ------------------------------------------------------------------------------------


async def test_an_agent_and_a_hub_find_each_other_whoever_comes_first(tmp_path: Path, place: NatsAddress) -> None:
    first = hub()
    async with on_nats(first, place), agent_on(place, tmp_path):
        await until(lambda: ready(first))
        assert await works(first)
    assert state_of(first) == "lost"


async def test_an_agent_that_waits_hears_a_hub_that_comes_up(tmp_path: Path, place: NatsAddress, quick: None) -> None:
    late = hub()
    async with agent_on(place, tmp_path):
        await asyncio.sleep(0.3)
        async with on_nats(late, place):
            await until(lambda: ready(late))
            assert await works(late)


async def test_agents_come_back_to_a_hub_that_restarts(tmp_path: Path, place: NatsAddress, quick: None) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    first, second = hub(signer=signer, door=door), hub(signer=signer, door=door)
    names = [f"sh-vm-{i}" for i in range(3)]
    async with (
        agent_on(place, tmp_path, who(names[0])),
        agent_on(place, tmp_path, who(names[1])),
        agent_on(place, tmp_path, who(names[2])),
    ):
        async with on_nats(first, place):
            await until(lambda: sorted(ready(first)) == names)
        async with on_nats(second, place):
            await until(lambda: sorted(ready(second)) == names)
            assert all([await works(second, name) for name in names])


async def test_when_nats_restarts_hubs_and_agents_come_back(tmp_path: Path, quick: None) -> None:
    the_hub = hub()
    with own_server(tmp_path) as nats:
        there = at(nats)
        async with on_nats(the_hub, there), agent_on(there, tmp_path):
            await until(lambda: ready(the_hub))
            nats.stop()
            await until(lambda: state_of(the_hub) == "lost")
            (seen,) = await answers(the_hub, request(), deadline_s=1)
            assert (seen.failure, seen.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
            nats.start()
            await until(lambda: ready(the_hub), 60)
            assert await works(the_hub)


async def test_a_hub_and_an_agent_wait_for_a_nats_that_is_not_there_yet(
    tmp_path: Path, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    the_hub = hub()
    with own_server(tmp_path) as nats:
        there = at(nats)
        nats.stop()
        running_hub = asyncio.create_task(hub_side.NatsHub(the_hub, there).run())
        async with agent_on(there, tmp_path):
            await until(lambda: {r.name for r in caplog.records if nats.url in r.getMessage()} == BOTH)
            nats.start()
            await until(lambda: ready(the_hub), 60)
        running_hub.cancel()
        await asyncio.wait([running_hub], timeout=5)


async def test_an_agent_that_falls_silent_is_lost_with_what_was_out(place: NatsAddress, quick: None) -> None:
    the_hub = hub()
    async with on_nats(the_hub, place), nats_puppet(place) as agent:
        await until(lambda: ready(the_hub))
        asking = asyncio.create_task(answers(the_hub, request(timeout_s=30), deadline_s=30))
        await agent.job()
        began = time.monotonic()
        (seen,) = await asking
        assert 0.3 < time.monotonic() - began < 20
        assert seen.failure is Failure.AGENT_LOST
        assert "silent for" in seen.detail["reason"]
        assert state_of(the_hub) == "lost"


async def test_a_quiet_agent_that_beats_is_not_lost(tmp_path: Path, place: NatsAddress, quick: None) -> None:
    changes: list[str] = []
    the_hub = hub(on_change=lambda: changes.append(state_of(the_hub)))
    async with on_nats(the_hub, place), agent_on(place, tmp_path):
        await until(lambda: ready(the_hub))
        await asyncio.sleep(3)
        assert changes == ["starting", "ready"]
        assert await works(the_hub)


async def test_two_hubs_on_one_nats_both_reach_one_agent(tmp_path: Path, place: NatsAddress) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    one, two = hub(signer=signer, door=door), hub(signer=signer, door=door)
    async with on_nats(one, place), on_nats(two, place), agent_on(place, tmp_path):
        await until(lambda: ready(one) and ready(two))
        assert all(await asyncio.gather(*(works(desk) for desk in (one, two) for _ in range(10))))


async def test_an_agent_that_stops_says_so_to_every_hub(tmp_path: Path, place: NatsAddress) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    one, two = hub(signer=signer, door=door), hub(signer=signer, door=door)
    async with on_nats(one, place), on_nats(two, place):
        async with agent_on(place, tmp_path):
            await until(lambda: ready(one) and ready(two))
        await until(lambda: state_of(one) == state_of(two) == "lost", 10)


async def test_a_refusal_ends_the_agent_with_its_reason(tmp_path: Path, place: NatsAddress) -> None:
    async with on_nats(hub(token="another"), place):
        with pytest.raises(RefusedByHub, match="wrong token"):
            await asyncio.wait_for(make_client(carrier(place), tmp_path).run(), 30)


async def test_of_two_processes_with_one_name_and_key_the_older_gives_way_for_good(
    tmp_path: Path, place: NatsAddress
) -> None:
    signer, the_hub = Signer(), hub()
    async with on_nats(the_hub, place):
        older = asyncio.create_task(make_client(carrier(place), tmp_path, signer=signer).run())
        await until(lambda: ready(the_hub))
        async with agent_on(place, tmp_path, signer=signer):
            with pytest.raises(RefusedByHub, match="another process with this --name and key"):
                await asyncio.wait_for(older, 30)
            await until(lambda: ready(the_hub))
            assert await works(the_hub)


async def test_an_agent_that_is_forgotten_ends_and_one_that_does_not_is_not_listened_to(
    tmp_path: Path, place: NatsAddress
) -> None:
    the_hub = hub()
    async with on_nats(the_hub, place) as there:
        honest = asyncio.create_task(make_client(carrier(place), tmp_path).run())
        await until(lambda: ready(the_hub))
        assert the_hub.forget("sh-vm") is not None
        with pytest.raises(RefusedByHub, match="was forgotten here"):
            await asyncio.wait_for(honest, 30)
        async with nats_puppet(place) as deaf:
            await until(lambda: ready(the_hub))
            assert the_hub.forget("sh-vm") is not None
            for _ in range(3):
                await deaf.say(Status(state="ready"))
            await until(lambda: not there._links)
            assert the_hub.agents() == []


async def test_two_installations_on_one_nats_do_not_see_each_other(tmp_path: Path) -> None:
    ours, theirs = own_place(), own_place()
    one, two = hub(), hub()
    async with on_nats(one, ours), on_nats(two, theirs), agent_on(ours, tmp_path):
        await until(lambda: ready(one))
        await asyncio.sleep(0.3)
        assert two.agents() == []


# --- strangers on the same subjects -----------------------------------------------------------------------------------


async def test_a_knock_that_names_a_foreign_subject_is_not_answered(
    place: NatsAddress, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []

    async def note(message: object) -> None:
        heard.append(getattr(message, "data", b""))

    async with on_nats(hub(), place), stranger(place) as mallory:
        for subject in (f"{place.subjects.prefix}.target", f"{place.subjects.prefix}.agent.a.b.c"):
            await mallory.subscribe(f"{subject}.>", cb=note)
        for text in (f"{place.subjects.prefix}.target", f"{place.subjects.prefix}.agent.a.b.c", ">", "", "\xff"):
            await mallory.publish(place.subjects.knock, text.encode("latin-1"))
        await until(lambda: caplog.text.count("names no agent's subject") == 5)
        assert heard == []


async def test_an_empty_text_that_is_not_the_hubs_costs_a_reconnect_and_nothing_else(
    tmp_path: Path, place: NatsAddress, quick: None
) -> None:
    the_hub = hub()
    async with on_nats(the_hub, place), agent_on(place, tmp_path), stranger(place) as mallory:
        await until(lambda: ready(the_hub))
        subject, reply = await overhear(place, the_hub)
        await mallory.publish(subject, b"", reply=reply)
        await until(lambda: state_of(the_hub) == "lost")
        await until(lambda: ready(the_hub))
        assert await works(the_hub)
        subject, reply = await overhear(place, the_hub)
        await mallory.publish(reply, b"")
        await until(lambda: state_of(the_hub) == "lost")
        await until(lambda: ready(the_hub))
        assert await works(the_hub)


async def test_nobody_can_end_an_agent_by_knocking_in_its_name(tmp_path: Path, place: NatsAddress, quick: None) -> None:
    the_hub = hub()
    async with on_nats(the_hub, place), agent_on(place, tmp_path), stranger(place) as mallory:
        for _ in range(3):
            await until(lambda: ready(the_hub))
            subject, reply = await overhear(place, the_hub)
            await mallory.publish(place.subjects.knock, subject.rpartition(".")[0].encode())
            await until_link_is_not(reply, place, the_hub)
        assert await works(the_hub)


async def until_link_is_not(old: str, place: NatsAddress, the_hub: AgentDesk) -> None:
    """The agent talks to the hub on another subject than before."""
    while True:
        await until(lambda: ready(the_hub))
        with contextlib.suppress(AssertionError):
            if (await overhear(place, the_hub))[1] != old:
                return


async def overhear(place: NatsAddress, the_hub: AgentDesk) -> tuple[str, str]:
    """The subject of the agent and of the hub, which anybody on the same NATS may read."""
    async with stranger(place) as ear:
        said = await ear.subscribe(f"{place.subjects.prefix}.agent.>")
        await ear.flush()
        assert await works(the_hub)
        message = await said.next_msg(30)
    return message.subject, message.reply


async def test_forged_and_repeated_texts_on_both_subjects_are_not_believed(
    tmp_path: Path, place: NatsAddress, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    the_hub = hub()
    async with on_nats(the_hub, place), agent_on(place, tmp_path), stranger(place) as mallory:
        await until(lambda: ready(the_hub))
        said = await mallory.subscribe(f"{place.subjects.prefix}.>")
        await mallory.flush()
        assert await works(the_hub)
        for _ in range(2):
            recorded = await said.next_msg(30)
            for text in (recorded.data, recorded.data[:-1], b"noise", b"\xff\xfe", b"1 x {}"):
                await mallory.publish(recorded.subject, text, reply=recorded.reply)
        await until(lambda: "refused a frame" in caplog.text and "was heard before" in caplog.text)
        assert await works(the_hub)
        assert state_of(the_hub) == "ready"


async def test_a_flood_on_an_agents_subject_costs_no_more_than_a_reconnect(
    tmp_path: Path, place: NatsAddress, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    the_hub = hub()
    async with on_nats(the_hub, place), agent_on(place, tmp_path), stranger(place) as mallory:
        await until(lambda: ready(the_hub))
        subject, reply = await overhear(place, the_hub)
        for number in range(20_000):
            await mallory.publish(subject, b"x" * 100, reply=reply)
            if number % 500 == 0:
                await asyncio.sleep(0)
        await mallory.flush(10)
        await until(lambda: ready(the_hub), 60)
        await until_works(the_hub)


async def test_a_flood_of_large_texts_takes_no_more_memory_than_an_agent_has() -> None:
    pipe = agent_side._Pipe(Client(), "subject", "hub")
    for _ in range(100):
        pipe.feed(b"x" * MAX_FRAME)
    waiting = agent_side.INBOX_BYTES // MAX_FRAME
    assert pipe._in.qsize() == waiting
    for _ in range(waiting):
        assert await pipe.receive()
    pipe.feed(b"the next")
    assert await pipe.receive() == "the next"


async def test_hubs_that_are_none_do_not_keep_the_true_one_out(tmp_path: Path, place: NatsAddress, quick: None) -> None:
    """Somebody opens a talk under a hundred names and says nothing in it."""
    the_hub = hub()
    async with on_nats(the_hub, place) as there, agent_on(place, tmp_path), stranger(place) as mallory:
        await until(lambda: ready(the_hub))
        subject, _ = await overhear(place, the_hub)
        inbox = subject.rpartition(".")[0]
        for number in range(100):
            await mallory.publish(f"{inbox}.h{number}", b"1 x {}", reply=place.subjects.links(f"h{number}", "l"))
        await mallory.flush(5)
        assert there.connected.is_set()
        assert await works(the_hub)
        subject, reply = await overhear(place, the_hub)
        await mallory.publish(reply, b"")
        await until(lambda: state_of(the_hub) == "lost")
        await until(lambda: ready(the_hub), 60)
        assert await works(the_hub)


async def until_works(the_hub: AgentDesk) -> None:
    due = time.monotonic() + 20
    while not (ready(the_hub) and await works(the_hub)):
        assert time.monotonic() < due
        await asyncio.sleep(0.1)


# --- logins and TLS --------------------------------------------------------------------------------------------------


def at(nats: OwnServer, *, login: NatsLogin | None = None, tls: ssl.SSLContext | None = None) -> NatsAddress:
    """The place on a server of the test's own."""
    url = nats.url.replace("nats:", "tls:") if tls else nats.url
    return NatsAddress(server=server(url, "url"), login=login or NatsLogin(), subjects=Subjects("own"), tls=tls)


@pytest.mark.parametrize(
    ("config", "right", "wrong"),
    [
        (
            "authorization { user: warroom, password: canary-nats-1 }",
            NatsLogin(user="warroom", password="canary-nats-1"),
            NatsLogin(user="warroom", password="canary-nats-2"),
        ),
        ("authorization { token: canary-nats-1 }", NatsLogin(token="canary-nats-1"), NatsLogin(token="canary-nats-2")),
    ],
    ids=["user and password", "token"],
)
async def test_a_login_opens_and_a_wrong_one_is_said_without_showing_it(
    tmp_path: Path, config: str, right: NatsLogin, wrong: NatsLogin, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    the_hub = hub()
    with own_server(tmp_path, config) as nats:
        async with on_nats(the_hub, at(nats, login=right)):
            for login in (wrong, NatsLogin()):
                async with agent_on(at(nats, login=login), tmp_path):
                    await until(lambda: "Authorization Violation" in caplog.text)
                caplog.clear()
            async with agent_on(at(nats, login=right), tmp_path):
                await until(lambda: ready(the_hub))
                assert await works(the_hub)
        running_hub = asyncio.create_task(hub_side.NatsHub(hub(), at(nats, login=wrong)).run())
        await until(lambda: f"NATS {nats.url} cannot be used: nats: 'Authorization Violation'" in caplog.text)
        running_hub.cancel()
    assert "canary" not in caplog.text


@pytest.fixture
def trusting(tmp_path: Path) -> tuple[Authority, ssl.SSLContext]:
    """An authority, and what trusts it."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    return authority, ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


def with_certificate(folder: Path, authority: Authority, name: str) -> str:
    leaf = authority.issue([name])
    (folder / "nats.pem").write_bytes(leaf.certificate)
    (folder / "nats.key").write_bytes(leaf.key)
    return f'tls {{ cert_file: "{folder}/nats.pem", key_file: "{folder}/nats.key" }}'


async def test_over_tls_a_server_with_a_certificate_of_a_trusted_authority_is_used(
    tmp_path: Path, trusting: tuple[Authority, ssl.SSLContext], quick: None
) -> None:
    authority, tls = trusting
    the_hub = hub()
    with own_server(tmp_path, with_certificate(tmp_path, authority, HOST)) as nats:
        there = at(nats, tls=tls)
        async with on_nats(the_hub, there), agent_on(there, tmp_path):
            await until(lambda: ready(the_hub))
            assert await works(the_hub)


@pytest.mark.parametrize("kind", ["another name", "another authority"])
async def test_over_tls_a_server_that_is_not_the_one_that_was_named_is_not_used(
    tmp_path: Path,
    trusting: tuple[Authority, ssl.SSLContext],
    kind: str,
    quick: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    authority, tls = trusting
    false = {"another name": (authority, "other.test"), "another authority": (Authority(), HOST)}[kind]
    with own_server(tmp_path, with_certificate(tmp_path, *false)) as nats:
        there = at(nats, tls=tls)
        the_hub = hub_side.NatsHub(hub(), there)
        running_hub = asyncio.create_task(the_hub.run())
        memory = HubMemory(None, agent="sh-vm", url="")
        async with agent_on(there, tmp_path, memory=memory):
            await until(lambda: sum("certificate verify failed" in r.getMessage() for r in caplog.records) >= 2)
        assert not the_hub.connected.is_set()
        assert memory.known.addresses == ()
        running_hub.cancel()


async def test_an_agent_that_is_stopped_while_it_dials_stops_at_once(tmp_path: Path, quick: None) -> None:
    with own_server(tmp_path) as nats, socket.socket() as deaf:
        nats.stop()
        deaf.bind((HOST, nats.port))
        deaf.listen()
        for _ in range(2):
            async with agent_on(at(nats), tmp_path):
                await asyncio.sleep(0.5)
                began = time.monotonic()
            assert time.monotonic() - began < 1
            deaf.close()


@pytest.mark.parametrize("side", ["hub", "agent"])
@pytest.mark.parametrize("info", ['{"auth_required": true}', '{"tls_available": true}', '{"tls_required": true}'])
async def test_to_a_server_at_tls_that_speaks_in_the_clear_no_login_is_sent(
    tmp_path: Path, side: str, info: str, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with false_server(info) as (url, heard):
        place = NatsAddress(
            server=server(url.replace("nats:", "tls:"), "url"),
            login=NatsLogin(user="warroom", password="canary-nats-1"),
            tls=ssl.create_default_context(),
        )
        work = hub_side.NatsHub(hub(), place) if side == "hub" else make_client(carrier(place), tmp_path)
        task = asyncio.create_task(work.run())
        await until(lambda: place.server.url in caplog.text)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        said = b"".join(heard)
        assert b"CONNECT" not in said
        assert b"canary" not in said
        assert ("offers no TLS" in caplog.text) == ("tls" not in info)


async def test_a_connection_that_breaks_as_soon_as_it_stands_is_dialled_anew(tmp_path: Path, quick: None) -> None:
    async with false_server("{}", pongs=True) as (url, heard):
        client = make_client(NatsCarrier(server=server(url, "url")), tmp_path)
        work = asyncio.create_task(client.run())
        await until(lambda: b"".join(heard).count(b"CONNECT") >= 3 or work.done())
        assert not work.done(), work.exception()
        client.stop.set()
        await asyncio.wait_for(work, 30)


@asynccontextmanager
async def false_server(info: str, *, pongs: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """One that says this INFO, hears what comes, and closes; the URL, and what it has heard."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {info}\r\n".encode())
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(5):
                while text := await reader.read(4096):
                    heard.append(text)
                    if b"PING" in text:
                        break
            if pongs:
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0) as listening:
        yield f"nats://{HOST}:{listening.sockets[0].getsockname()[1]}", heard
