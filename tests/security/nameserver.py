"""A name server whose answers point inside, or change between two questions."""

from __future__ import annotations

import asyncio
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

from tests.security.shapes import PUBLIC


class Names(asyncio.DatagramProtocol):
    """The hostile name server: TTL 0, and answers that point inside."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text().rstrip(".").lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if kind == "A":
            self.asked[name] = self.asked.get(name, 0) + 1
        for owner, rtype, value in self._records(name, kind):
            reply.answer.append(dns.rrset.from_text(owner + ".", 0, "IN", rtype, value))
        self._transport.sendto(reply.to_wire(), addr)

    def _records(self, name: str, kind: str) -> list[tuple[str, str, str]]:
        if name.startswith("rebind"):
            inside = "169.254.169.254" if "metadata" in name else "10.0.0.1"
            return [(name, "A", PUBLIC if self.asked[name] % 2 else inside)] if kind == "A" else []
        records = RECORDS.get(name, [("@", "A", PUBLIC)])
        last = records[-1][1]
        return [(name if o == "@" else o, t, v) for o, t, v in records] if kind == last else []


def _a(address: str) -> list[tuple[str, str, str]]:
    return [("@", "AAAA" if ":" in address else "A", address)]


RECORDS: dict[str, list[tuple[str, str, str]]] = {
    "a-loopback.test": _a("127.0.0.1"),
    "a-private.test": _a("10.0.0.1"),
    "a-link-local.test": _a("169.254.1.1"),
    "a-nat.test": _a("100.64.0.1"),
    "a-zero.test": _a("0.0.0.0"),
    "a-broadcast.test": _a("255.255.255.255"),
    "a-multicast.test": _a("224.0.0.1"),
    "aaaa-loopback.test": _a("::1"),
    "aaaa-mapped.test": _a("::ffff:127.0.0.1"),
    "aaaa-nat64.test": _a("64:ff9b::a00:1"),
    "aaaa-6to4.test": _a("2002:a00:1::1"),
    "aaaa-unique-local.test": _a("fd12::1"),
    "aaaa-link-local.test": _a("fe80::1"),
    "cname-private.test": [("@", "CNAME", "inner.test."), ("inner.test", "A", "10.0.0.1")],
    "cname-chain.test": [
        ("@", "CNAME", "c1.test."),
        *((f"c{n}.test", "CNAME", f"c{n + 1}.test.") for n in range(1, 12)),
        ("c12.test", "A", "10.0.0.1"),
    ],
    "cname-loop-private.test": [
        ("@", "CNAME", "loop.test."),
        ("loop.test", "CNAME", "cname-loop-private.test."),
        ("loop.test", "A", "10.0.0.1"),
    ],
    "stranger-private.test": [("somebody-else.test", "A", "10.0.0.1")],
    "first-private.test": [("@", "A", "10.0.0.1"), ("@", "A", PUBLIC)],
    "mixed-case.test": _a("10.0.0.1"),
    "dot-at-the-end.test": _a("10.0.0.1"),
    "under_score.test": _a("10.0.0.1"),
    "xn--nxasmq6b.test": _a("10.0.0.1"),
    "localhost.test": _a("127.0.0.1"),
    "127.0.0.1.nip.test": _a("127.0.0.1"),
    "metadata.test": _a("169.254.169.254"),
    "metadata-alibaba.test": _a("100.100.100.200"),
    "metadata-mapped.test": _a("::ffff:169.254.169.254"),
    "metadata-nat64.test": _a("64:ff9b::a9fe:a9fe"),
    "metadata-6to4.test": _a("2002:a9fe:a9fe::1"),
    "metadata-prefix.test": _a("2a0c:b641::a9fe:a9fe"),
    "metadata-cname.test": [("@", "CNAME", "metadata.test."), ("metadata.test", "A", "169.254.169.254")],
    "metadata.google.internal": _a("169.254.169.254"),
}
