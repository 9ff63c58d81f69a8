from __future__ import annotations

import asyncio
import socket

import pytest

from bot.probes.net import ready
from bot.probes.net.ready import Socket


def pair() -> tuple[Socket, socket.socket]:
    """Two connected datagram sockets; the first is a probe's."""
    ours = Socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for sock in (ours, theirs):
        sock.bind(("127.0.0.1", 0))
    ours.connect(theirs.getsockname())
    theirs.connect(ours.getsockname())
    return ours, theirs


async def receive(sock: Socket, timeout_s: float | None = None) -> bytes:
    while True:
        try:
            return sock.recv(100)
        except BlockingIOError:
            await ready.change(sock, timeout_s)


async def test_who_waits_is_woken_for_each_thing_that_comes() -> None:
    ours, theirs = pair()
    with ours, theirs:
        for word in (b"one", b"two"):
            waiting = asyncio.create_task(receive(ours))
            await asyncio.sleep(0.01)
            assert not waiting.done()
            theirs.send(word)
            assert await waiting == word


async def test_what_came_before_the_wait_is_not_missed() -> None:
    ours, theirs = pair()
    with ours, theirs:
        theirs.send(b"early")
        await asyncio.wait_for(ready.change(ours), 5)
        assert ours.recv(100) == b"early"


async def test_silence_ends_with_the_time_limit() -> None:
    ours, theirs = pair()
    with ours, theirs:
        with pytest.raises(TimeoutError):
            await receive(ours, 0.05)
        theirs.send(b"late")
        assert await receive(ours, 5) == b"late"


async def test_a_wait_that_is_cancelled_leaves_the_socket_usable() -> None:
    ours, theirs = pair()
    with ours, theirs:
        waiting = asyncio.create_task(receive(ours))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        theirs.send(b"again")
        assert await receive(ours, 5) == b"again"


async def test_a_descriptor_that_is_used_again_belongs_to_its_new_socket() -> None:
    for word in (b"first", b"second", b"third"):
        ours, theirs = pair()
        with ours, theirs:
            waiting = asyncio.create_task(receive(ours, 5))
            await asyncio.sleep(0)
            theirs.send(word)
            assert await waiting == word


async def test_hundreds_wait_at_once() -> None:
    pairs = [pair() for _ in range(400)]
    waiting = [asyncio.create_task(receive(ours, 5)) for ours, _ in pairs]
    await asyncio.sleep(0)
    for number, (_, theirs) in enumerate(pairs):
        theirs.send(str(number).encode())
    assert await asyncio.gather(*waiting) == [str(n).encode() for n in range(400)]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_every_event_loop_has_a_set_of_its_own() -> None:
    async def once() -> bytes:
        ours, theirs = pair()
        with ours, theirs:
            waiting = asyncio.create_task(receive(ours, 5))
            await asyncio.sleep(0)
            theirs.send(b"here")
            return await waiting

    assert [asyncio.run(once()) for _ in range(3)] == [b"here"] * 3
