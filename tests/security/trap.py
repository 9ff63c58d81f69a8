"""A world of its own, in a network namespace, in which every address there is belongs to this machine and is watched.

Run as `unshare --net python -m tests.security.trap`: drives every case of the corpus through every kind of probe by
`table.run` with real contexts, and prints one JSON line for each: what came out, and which addresses were touched.
Whatever leaves a socket passes `lo`, where a packet socket sees it; listeners take every TCP connection, so that a
target that is reached would really be spoken to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.agent.policy import load_policy
from bot.probes.base import ProbeContext
from bot.probes.table import run
from tests.security.corpus import CASES, DEFAULT, OPEN, REDIRECTS
from tests.security.nameserver import Names
from tests.security.shapes import NAMESERVER, PUBLIC, Shape, accepted, shapes

PUBLIC_6 = "2a0c:b641::80"
OURS = frozenset({NAMESERVER, PUBLIC, PUBLIC_6})
"""The public servers of this world; everything else is inside."""
ANY_RULE = "{network: '%s', ports: any, kinds: any}"
COMMON = (
    f"resolvers: {{host: ['{NAMESERVER}']}}\n"
    "budget: {concurrent: 64, probes_per_second: 100000, dns_per_second: 100000, dns_per_server_per_second: 100000}\n"
)
POLICIES = {
    DEFAULT: COMMON,
    OPEN: f"{COMMON}allow: [{ANY_RULE % '0.0.0.0/0'}, {ANY_RULE % '::/0'}]\n",
}
QUICK = {"tries": 1, "timeout_ms": 300, "spacing_ms": 0}


def prepare_namespace() -> None:
    """Make every address of both families local."""
    for words in (
        "link set lo up",
        "route add local 0.0.0.0/0 dev lo",
        "-6 route add local ::/0 dev lo",
    ):
        subprocess.run(["ip", *words.split()], check=True)


class Sniffer:
    """Every packet that leaves on lo: the addresses that something was sent to."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._sock.bind(("lo", 0))
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)

    def touched(self) -> set[str]:
        """Targets since the last call: of TCP the opening packet, of anything else each one."""
        found = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, where = self._sock.recvfrom(200)
                if where[2] == socket.PACKET_OUTGOING:
                    found |= set(_target(packet))
        return found


def _target(packet: bytes) -> Iterator[str]:
    if packet[0] >> 4 == 4:
        at, protocol, to = (packet[0] & 15) * 4, packet[9], socket.inet_ntop(socket.AF_INET, packet[16:20])
    else:
        at, protocol, to = 40, packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])
    if protocol == socket.IPPROTO_TCP and packet[at + 13] & 0x12 != 0x02:
        return
    if protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6) and packet[at] not in (8, 128):
        return
    port = f":{struct.unpack_from('!H', packet, at + 2)[0]}" if protocol in (6, 17) else ""
    yield f"{to}{port}"


_INSIDE = {
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "loopback": "http://127.0.0.1/",
    "name": "http://a-private.test/",
    "scheme": "https://10.0.0.1/",
    "relative": "/inside",
    "network-path": "//169.254.169.254/",
    "chain": "/302-metadata",
    "file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "choices": "http://10.0.0.1/",
    "use-proxy": "http://10.0.0.1:3128/",
    "created": "http://10.0.0.1/",
}
_OTHER = {
    "meta-refresh": "",
    "refresh-header": "Refresh: 0; url=http://10.0.0.1/\r\n",
    "link": "Link: <http://10.0.0.1/>; rel=preload, <http://10.0.0.1/>; rel=preconnect\r\n",
    "alt-svc": 'Alt-Svc: h3="10.0.0.1:443", h2="10.0.0.1:443"\r\n',
    "content-location": "Content-Location: http://10.0.0.1/\r\n",
    "challenge": 'WWW-Authenticate: Bearer realm="http://10.0.0.1/token"\r\n',
    "switch": "Connection: upgrade\r\nUpgrade: h2c\r\nLocation: http://10.0.0.1/\r\n",
    "early-hints": "Link: <http://10.0.0.1/>; rel=preload\r\n",
    "proxy": 'Proxy-Authenticate: Negotiate realm="http://10.0.0.1/"\r\n',
}


def redirecting(case: str) -> bytes:
    """The public web server's answer."""
    status, _, how = case.partition("-")
    fields = f"Location: {_INSIDE[how]}\r\n" if how in _INSIDE else _OTHER.get(how, "")
    body = '<meta http-equiv="refresh" content="0; url=http://169.254.169.254/">'
    return f"HTTP/1.1 {status} Look There\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Web:
    """Takes every TCP connection to any address: the public one redirects, any other is a canary."""

    def __init__(self) -> None:
        self.case = ""
        self.reached: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        here = writer.get_extra_info("sockname")[0]
        if here not in OURS:
            self.reached.append(here)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(redirecting(self.case or "200-plain"))
            await writer.drain()
        writer.close()


class World:
    """Contexts, servers and the watch."""

    def __init__(self, contexts: dict[str, ProbeContext], names: Names, web: Web) -> None:
        self._contexts, self._names, self._web = contexts, names, web
        self._sniffer = Sniffer()

    async def run(self, shape: Shape, value: str, policy: str) -> dict[str, Any]:
        """One probe at one hostile target; twice for a name that changes its answer."""
        params = shape.aimed(value)
        for name, quick in QUICK.items():
            if accepted(shape.kind, {**shape.params, name: quick}):
                params[name] = quick
        self._names.asked.clear()
        self._web.reached.clear()
        self._sniffer.touched()
        for _ in range(2 if "rebind" in value else 1):
            outcome = await run(shape.kind, params, self._contexts[policy], 5)
        touched = {t for t in self._sniffer.touched() if t.rpartition(":")[0] not in OURS and t not in OURS}
        return {
            "kind": shape.kind,
            "slot": shape.slot,
            "failure": outcome.failure.value if outcome.failure else None,
            "reason": str(outcome.detail.get("reason", "")),
            "touched": sorted(touched | set(self._web.reached)),
        }

    async def springs(self) -> list[dict[str, Any]]:
        """The trap itself: what is allowed to reach the inside is noticed, by every kind."""
        rows = []
        for shape in shapes():
            inside = {"address": "10.0.0.1", "host": "10.0.0.1", "url": "http://10.0.0.1/", "server": "10.0.0.1"}[
                shape.slot
            ]
            row = await self.run(shape, inside, OPEN)
            rows.append({**row, "case": "springs"})
        self._web.reached.clear()
        with socket.create_connection(("169.254.169.254", 80), timeout=2):
            await asyncio.sleep(0.05)
        rows.append({"case": "canary", "touched": sorted(self._sniffer.touched()), "reached": list(self._web.reached)})
        return rows

    async def all(self) -> Iterator[dict[str, Any]]:
        """Every case through every kind that takes such a parameter."""
        rows = await self.springs()
        known = shapes()
        for case in CASES:
            for shape in known:
                if shape.slot == case.slot:
                    rows.append({"case": case.id, **await self.run(shape, case.value, case.policy)})
        for answer in REDIRECTS:
            self._web.case = answer
            for shape in known:
                if shape.slot == "url":
                    rows.append({"case": answer, **await self.run(shape, shape.params["url"], DEFAULT)})
        return iter(rows)


async def main() -> None:
    """Drive everything and print the rows."""
    logging.disable(logging.WARNING)
    prepare_namespace()
    names, web = Names(), Web()
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: names, local_addr=(NAMESERVER, 53))
    for port in (22, 53, 80, 443, 853, 3306, 5432, 6379, 9090):
        await asyncio.start_server(web.serve, "0.0.0.0", port)
        await asyncio.start_server(web.serve, "::", port)
    with tempfile.TemporaryDirectory() as folder:
        contexts = {}
        for policy, text in POLICIES.items():
            (Path(folder) / policy).write_text(text)
            contexts[policy] = load_policy(Path(folder) / policy, resolv_conf=Path(folder) / "none").context({})
        for row in await World(contexts, names, web).all():
            sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
