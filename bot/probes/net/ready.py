"""Waiting for sockets: one epoll set for all of them, and the event loop watches only the set.

A probe's socket lives for one wait or two. An event loop charges a handle and several system calls for each (libuv
makes six epoll_ctl calls), and libuv stops watching a socket that has nothing but a stamp on its error queue. Here
a socket costs one call, once; it is edge-triggered (epoll(7)), and closing the socket takes it out again.
"""

from __future__ import annotations

import asyncio
import select
import socket
from weakref import WeakKeyDictionary

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
_BATCH = 256
"""Sockets that are woken before the loop does other work."""


class Socket(socket.socket):
    """A socket that remembers whether it is in the set."""

    watched = False


class _Set:
    """The sockets of one event loop. It does not hold the loop, which would keep both alive for ever."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self._epoll.fileno(), self._wake)

    def wait(self, sock: Socket, future: asyncio.Future[None]) -> None:
        """Have `future` done when something happens to the socket."""
        fd = sock.fileno()
        self._waiting[fd] = future
        if not sock.watched:
            self._epoll.register(fd, _EDGES)
            sock.watched = True

    def forget(self, sock: Socket) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(sock.fileno(), None)

    def drop(self, sock: Socket) -> None:
        """Take it out of the set."""
        self._epoll.unregister(sock.fileno())
        sock.watched = False

    def _wake(self) -> None:
        for fd, _ in self._epoll.poll(0, _BATCH):
            future = self._waiting.pop(fd, None)
            if future is not None and not future.done():
                future.set_result(None)


_sets: WeakKeyDictionary[asyncio.AbstractEventLoop, _Set] = WeakKeyDictionary()


async def change(sock: Socket, timeout_s: float | None = None) -> None:
    """Wait until something happens to the socket: call it after a call that would have blocked, then try again.

    It may wake without cause. One may wait for a socket at a time. Raises TimeoutError.
    """
    loop = asyncio.get_running_loop()
    watched = _sets.get(loop)
    if watched is None:
        watched = _sets[loop] = _Set(loop)
    future: asyncio.Future[None] = loop.create_future()
    watched.wait(sock, future)
    alarm = None if timeout_s is None else loop.call_later(max(0.0, timeout_s), _late, future)
    try:
        await future
    except BaseException:
        watched.forget(sock)
        raise
    finally:
        if alarm is not None:
            alarm.cancel()


def leave(sock: Socket) -> None:
    """Take the socket out of the set, for somebody else will watch it from now on."""
    if sock.watched:
        _sets[asyncio.get_running_loop()].drop(sock)


def _late(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
