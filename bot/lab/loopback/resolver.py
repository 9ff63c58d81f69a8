"""The name servers: one that knows the truth, and resolvers that forward and cache."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.lab.loopback.dnsserver import Client, Send, Via
from bot.lab.loopback.dnswire import (
    NOERROR,
    NXDOMAIN,
    SERVFAIL,
    A,
    Answer,
    Query,
    addresses,
    ask,
    nothing,
    parse,
    read_answer,
    reply,
)
from bot.lab.loopback.policer import Policer
from bot.lab.loopback.querylog import QueryLog

UPSTREAM_S = 2.0
"""CoreDNS' `forward` gives each upstream 2 s; ours asks once."""
CACHE_ENTRIES = 2000
CLUSTER_ZONE = "cluster.local"


class Truth:
    """The authoritative server of every zone there is. Names under `wildcard` all exist."""

    def __init__(self, names: Mapping[str, str], *, wildcard: str, ttl_s: int) -> None:
        self._names = names
        self._wildcard = f".{wildcard}"
        self._ttl_s = ttl_s

    def __call__(self, data: bytes, client: Client, via: Via, send: Send) -> None:
        query = parse(data)
        if query is not None:
            send(reply(query, self.answer(query), authoritative=True))

    def answer(self, query: Query) -> Answer:
        """Address, no data, or no such name."""
        address = self._names.get(query.name)
        if address is None and query.name.endswith(self._wildcard):
            address = f"127.92.{len(query.name) % 256}.{sum(query.name.encode()) % 254 + 1}"
        if address is None:
            parent = any(name.endswith(f".{query.name}") for name in self._names)
            return nothing(NOERROR if parent else NXDOMAIN, query.name, self._ttl_s)
        if query.type != A:
            return nothing(NOERROR, query.name, self._ttl_s)
        return addresses((address,), self._ttl_s)


@dataclass(frozen=True, slots=True)
class _Asked:
    query: Query
    client: Client
    via: Via
    send: Send
    began: float
    timer: asyncio.TimerHandle


class Resolver:
    """Answers its own names, else from its cache, else asks `upstream` once over UDP.

    Faults are attributes: `policer` (UDP only, as measured on real ones), `drop` (share of queries ignored,
    whatever the transport) and `lies` (name -> wrong address).
    """

    def __init__(self, own: Mapping[str, str], upstream: Callable[[bytes], None], log: QueryLog | None = None) -> None:
        self.policer: Policer | None = None
        self.drop = 0.0
        self.lies: Mapping[str, str] = {}
        self.offered = 0
        self.answered = 0
        self._own = own
        self._upstream = upstream
        self._log = log
        self._cache: dict[tuple[str, int], tuple[float, Answer]] = {}
        self._asked: dict[int, _Asked] = {}

    def __call__(self, data: bytes, client: Client, via: Via, send: Send) -> None:
        now = time.monotonic()
        self.offered += 1
        limited = via == "udp" and self.policer is not None and not self.policer.admit(now)
        refused = limited or (self.drop > 0 and random.random() < self.drop)
        if refused and self._log is None:
            return
        query = parse(data)
        if query is None:
            return
        if refused:
            assert self._log is not None
            self._log.add(client, query, via)
            return
        answer, age_s = self._known(query, now)
        if answer is not None:
            self._finish(query, answer, client, via, send, now, age_s=age_s)
        else:
            self._ask(query, client, via, send, now)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def upstream_said(self, data: bytes) -> None:
        """A response arrived from the upstream."""
        asked = self._asked.get(int.from_bytes(data[:2], "big"))
        answer = read_answer(data, asked.query.question) if asked else None
        if asked is None or answer is None:
            return
        del self._asked[int.from_bytes(data[:2], "big")]
        asked.timer.cancel()
        if answer.ttl_s and answer.rcode in (NOERROR, NXDOMAIN):
            if len(self._cache) >= CACHE_ENTRIES:
                del self._cache[next(iter(self._cache))]
            self._cache[asked.query.name, asked.query.type] = (time.monotonic(), answer)
        self._finish(asked.query, answer, asked.client, asked.via, asked.send, asked.began)

    def _known(self, query: Query, now: float) -> tuple[Answer | None, int]:
        address = self.lies.get(query.name) or self._own.get(query.name)
        if address is not None:
            found = addresses((address,), 5) if query.type == A else nothing(NOERROR, query.name, 5)
            return found, 0
        if self._own and query.name.endswith(f".{CLUSTER_ZONE}"):
            return nothing(NXDOMAIN, query.name, 5), 0
        kept = self._cache.get((query.name, query.type))
        if kept is None:
            return None, 0
        age = now - kept[0]
        if age >= kept[1].ttl_s:
            del self._cache[query.name, query.type]
            return None, 0
        return kept[1], int(age)

    def _ask(self, query: Query, client: Client, via: Via, send: Send, now: float) -> None:
        key = random.randrange(65536)
        while key in self._asked:
            key = random.randrange(65536)
        timer = asyncio.get_running_loop().call_later(UPSTREAM_S, self._give_up, key)
        self._asked[key] = _Asked(query, client, via, send, now, timer)
        self._upstream(ask(key, query.question))

    def _give_up(self, key: int) -> None:
        asked = self._asked.pop(key)
        self._finish(asked.query, Answer(SERVFAIL), asked.client, asked.via, asked.send, asked.began)

    def _finish(
        self, query: Query, answer: Answer, client: Client, via: Via, send: Send, began: float, *, age_s: int = 0
    ) -> None:
        data = reply(query, answer, age_s=age_s)
        self.answered += 1
        if self._log:
            took_s = time.monotonic() - began
            self._log.add(client, query, via, rcode=answer.rcode, size=len(data), took_s=took_s)
        send(data)


class Upstream(asyncio.DatagramProtocol):
    """The socket a resolver asks its upstream with."""

    def __init__(self) -> None:
        self.said: Callable[[bytes], None] = lambda _: None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Client) -> None:
        self.said(data)

    def error_received(self, exc: Exception) -> None:
        """An upstream that is not there is silence like any other."""

    def ask(self, data: bytes) -> None:
        """Send one query."""
        assert self._transport is not None
        self._transport.sendto(data)

    def close(self) -> None:
        """Close the socket."""
        if self._transport:
            self._transport.close()
