"""Somebody at the hub's address, on the way to it, or a hub that was taken over: what they can do to an agent.

They may keep it from its hub while they are there. They cannot end it for good, crash it, fill its memory or its disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bot.agent import dial_hub
from bot.agent.known_hub import HubMemory
from bot.agent.pipe import RefusedByHub
from bot.agent.websocket import WebSocketCarrier
from bot.wire.codec import encode
from bot.wire.frames import Refused, Welcome
from bot.wire.handshake import HubHandshake
from bot.wire.signing import Signer
from tests.wire.peers import HOST, TOKEN, dial, hub, port_of, ready, served, until
from tests.wire.real_agents import make_client, running

Act = Callable[[ServerConnection], Any]


def knows(key: str) -> HubMemory:
    """The memory of an agent that has met the hub of this key."""
    memory = HubMemory(None, agent="sh-vm", url="")
    memory.trust(key)
    return memory


@asynccontextmanager
async def at_the_address(act: Act) -> AsyncIterator[tuple[str, list[int]]]:
    """Somebody who answers the agent's calls like this; the URL, and the calls so far."""
    calls: list[int] = []

    async def answer(socket: ServerConnection) -> None:
        calls.append(1)
        with contextlib.suppress(ConnectionClosed):
            await act(socket)
            await socket.wait_closed()

    async with serve(answer, HOST, 0, compression=None) as server:
        yield f"ws://{HOST}:{next(iter(server.sockets)).getsockname()[1]}/agents/connect", calls


async def comes_again(act: Act, folder: Path, memory: HubMemory) -> None:
    """An agent is treated like this, and dials again: it has not ended."""
    async with at_the_address(act) as (url, calls):
        client = make_client(WebSocketCarrier(url=url), folder, memory=memory)
        work = asyncio.create_task(client.run())
        try:
            await until(lambda: len(calls) >= 2 or work.done())
            assert not work.done(), f"the agent has ended: {work.exception()!r}"
        finally:
            client.stop.set()
            await asyncio.wait([work], timeout=5)


# --- nobody but the hub can end an agent ------------------------------------------------------------------------------


async def refuses_without_a_signature(socket: ServerConnection) -> None:
    await socket.send(json.dumps({"body": '{"type":"refused","reason":"go","final":true}', "sig": ""}))


async def refuses_with_a_key_of_its_own(socket: ServerConnection) -> None:
    await socket.send(encode(Refused(reason="go", final=True), Signer()))


async def refuses_after_a_challenge_of_its_own(socket: ServerConnection) -> None:
    shake = HubHandshake(Signer(), now=0.0)
    await socket.send(shake.challenge())
    shake.hear(str(await socket.recv()))
    await socket.send(shake.refuse("go", final=True))


@pytest.mark.parametrize(
    "act", [refuses_without_a_signature, refuses_with_a_key_of_its_own, refuses_after_a_challenge_of_its_own]
)
async def test_a_refusal_by_anybody_but_the_hub_that_is_known_does_not_end_an_agent(tmp_path: Path, act: Act) -> None:
    await comes_again(act, tmp_path, knows(Signer().public))


@pytest.mark.parametrize("spoils", ["the hello", "nothing, but keeps a refusal from elsewhere"])
async def test_one_on_the_way_cannot_have_the_true_hub_end_an_agent(tmp_path: Path, spoils: str) -> None:
    """Whoever passes texts on may change one, or give another the hub has really signed."""
    signer = Signer()
    async with served(hub(signer=signer)) as true:
        async with dial(true) as elsewhere:
            await elsewhere.recv()
            await elsewhere.send("noise")
            recorded = str(await elsewhere.recv())

        async def between(socket: ServerConnection) -> None:
            async with dial(true) as onward:
                await socket.send(await onward.recv())
                hello = str(await socket.recv())
                if spoils == "the hello":
                    await onward.send(hello.replace("sh-vm", "sh-vn"))
                    await socket.send(await onward.recv())
                else:
                    await socket.send(recorded)

        await comes_again(between, tmp_path, knows(signer.public))


async def test_a_refusal_of_the_known_hub_for_this_very_hello_is_for_good(tmp_path: Path) -> None:
    the_hub = hub(token="another")
    async with served(the_hub) as url:
        async with dial(url) as socket:
            key = json.loads(json.loads(await socket.recv())["body"])["public_key"]
        with pytest.raises(RefusedByHub, match="wrong token"):
            await asyncio.wait_for(
                make_client(WebSocketCarrier(url=url), tmp_path, memory=knows(key), token=TOKEN).run(), 10
            )


# --- nor keep it away longer than he is there -------------------------------------------------------------------------


async def test_a_name_that_leads_to_somebody_else_does_not_hide_the_hub_at_the_address_that_is_known(
    tmp_path: Path,
) -> None:
    """A resolver that lies, or a portal that answers for everybody: something accepts connections there."""
    the_hub = hub()
    memory = HubMemory(None, agent="sh-vm", url="")
    memory.reached(HOST)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with served(the_hub) as url, await asyncio.start_server(hang_up, "127.0.0.1", port_of(url)):
        elsewhere = WebSocketCarrier(url=url.replace(HOST, "localhost"))
        async with running(make_client(elsewhere, tmp_path, memory=memory)):
            await until(lambda: ready(the_hub))


async def test_of_a_hundred_addresses_a_resolver_gives_a_few_are_tried_before_the_one_that_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def liar(*_: object) -> tuple[list[str], int, float]:
        return [f"192.0.2.{n}" for n in range(100)], 0, 0.0

    monkeypatch.setattr(dial_hub, "getaddrinfo", liar)
    found, _ = await dial_hub.addresses_of("hub.test", [HOST])
    assert found.index(HOST) == dial_hub.MOST_RESOLVED


# --- nor crash it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("welcome", "met"), [(Welcome(now=0.0, proof="é"), False), (Welcome(now=1e308), True)])
async def test_a_welcome_no_hub_would_say_costs_the_agent_a_connection(
    tmp_path: Path, welcome: Welcome, met: bool
) -> None:
    signer = Signer()

    async def act(socket: ServerConnection) -> None:
        shake = HubHandshake(signer, now=0.0)
        await socket.send(shake.challenge())
        shake.hear(str(await socket.recv()))
        session, _ = shake.welcome(now=0.0)
        await socket.send(session.seal(welcome))

    await comes_again(act, tmp_path, knows(signer.public if met else ""))
