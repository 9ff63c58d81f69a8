"""DNS messages, as much as a probe needs, from RFC 1035 and RFC 6891; no I/O and no objects per record."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache

from bot.probes.base import BadParams

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_RECURSE = 0x0100
_OPT = b"\x00" + struct.pack("!HHIH", 41, 1232, 0, 0)  # 1232: what DNS Flag Day 2020 found to fit every path
A, AAAA = 1, 28


class Malformed(Exception):
    """The bytes are not the DNS message they claim to be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, as it stands in a message: name, type, class IN."""

    wire: bytes
    qtype: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `records` counts those of the asked type, `addresses` holds A and AAAA records."""

    rcode: int
    records: int
    addresses: tuple[str, ...]
    truncated: bool


@lru_cache(maxsize=256)
def question(name: str, kind: str) -> Question:
    """Read a name and a type word ("A", "TXT", ...). Raises BadParams."""
    import dns.exception
    import dns.name
    import dns.rdatatype

    try:
        qtype = int(dns.rdatatype.from_text(kind))
        wire = dns.name.from_text(name).to_wire()
    except (dns.exception.DNSException, ValueError) as exc:
        raise BadParams(f"name or type cannot be asked of DNS: {name[:120]!r} {kind[:20]!r}") from exc
    if wire is None or qtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.OPT):
        raise BadParams(f"type {kind[:20]!r} cannot be asked of DNS")
    return Question(wire + struct.pack("!HH", qtype, 1), qtype)


def query(ident: int, asked: Question) -> bytes:
    """A recursive query with EDNS."""
    return _HEADER.pack(ident, _RECURSE, 1, 0, 0, 1) + asked.wire + _OPT


def read(wire: bytes, ident: int, asked: Question) -> Answer | None:
    """The answer to this query, or None when it is one to something else. Raises Malformed."""
    if len(wire) < _HEADER.size:
        return None
    got, flags, questions, answers, _, _ = _HEADER.unpack_from(wire)
    if got != ident or not flags & 0x8000:
        return None
    rcode = flags & 0xF
    start, end = _HEADER.size, _HEADER.size + len(asked.wire)
    if questions == 0 and rcode:
        # A resolver too busy or too strict to read the query may answer with the bare header (RFC 1035 4.1.1).
        return Answer(rcode, 0, (), False)
    if wire[start:end].lower() != asked.wire.lower():
        return None
    records, addresses = _records(wire, end, answers, asked.qtype)
    return Answer(rcode, records, addresses, bool(flags & 0x0200))


def _records(wire: bytes, at: int, count: int, qtype: int) -> tuple[int, tuple[str, ...]]:
    records, addresses = 0, []
    try:
        for _ in range(count):
            at = _skip_name(wire, at)
            kind, _, _, length = _RECORD.unpack_from(wire, at)
            at += _RECORD.size
            data = wire[at : at + length]
            if len(data) != length:
                raise Malformed("a record is longer than the message")
            records += kind == qtype
            if kind in (A, AAAA):
                addresses.append(_address(data))
            at += length
    except (struct.error, IndexError, ValueError) as exc:
        raise Malformed("an answer record cannot be read") from exc
    return records, tuple(addresses)


def _address(data: bytes) -> str:
    # `ipaddress` spells IPv6 as the policy does; for IPv4 there is only one spelling, and this one is quicker.
    return socket.inet_ntoa(data) if len(data) == 4 else str(ipaddress.IPv6Address(data))


def _skip_name(wire: bytes, at: int) -> int:
    while True:
        length = wire[at]
        if length == 0:
            return at + 1
        if length & 0xC0 == 0xC0:
            return at + 2
        if length & 0xC0:
            raise Malformed("a label of unknown kind")
        at += 1 + length


def question_name(wire: bytes, at: int = _HEADER.size) -> str:
    """The first question's name in lower case, without the final dot. Raises Malformed."""
    labels = []
    try:
        while length := wire[at]:
            if length & 0xC0:
                raise Malformed("a compressed question")
            labels.append(wire[at + 1 : at + 1 + length])
            at += 1 + length
    except IndexError as exc:
        raise Malformed("a question cut short") from exc
    return b".".join(labels).lower().decode("ascii", "backslashreplace")


_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


def rcode_text(rcode: int) -> str:
    """The rcode's name (IANA DNS RCODEs), "RCODEn" for rare ones."""
    return _RCODES.get(rcode, f"RCODE{rcode}")
