"""Just enough of RFC 1035 to answer quickly: one question in, a few records out, no objects per record."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

A, SOA, OPT = 1, 6, 41
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, REFUSED = 0, 1, 2, 3, 5
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 65: "HTTPS"}
_QUESTION_AT = 12
_OPT = b"\0" + struct.pack("!HHIH", OPT, 1232, 0, 0)


@dataclass(frozen=True, slots=True)
class Query:
    """One parsed query. `question` is its question section, byte for byte; `name` is lower case, no dot at the end."""

    id: int
    flags: int
    name: str
    type: int
    question: bytes
    edns: bool
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says. `records` follows a question of the same length, so names in it may point at 12;
    `ttl_at` are offsets in `records`; `ttl_s` is the least of the TTLs.
    """

    rcode: int
    answers: int = 0
    authorities: int = 0
    records: bytes = b""
    ttl_at: tuple[int, ...] = ()
    ttl_s: int = 0


def parse(data: bytes) -> Query | None:
    """The query, or None for anything that is not one plain question."""
    try:
        query_id, flags, questions, _, _, extra = struct.unpack_from("!6H", data)
        if flags & 0x8000 or questions != 1:
            return None
        end, labels = _QUESTION_AT, []
        while length := data[end]:
            if length > 63:
                return None
            labels.append(data[end + 1 : end + 1 + length])
            end += 1 + length
        end += 5
        (kind,) = struct.unpack_from("!H", data, end - 4)
    except (struct.error, IndexError):
        return None
    name = b".".join(labels).decode("ascii", "replace").lower()
    edns = bool(extra) and data[end : end + 3] == b"\0\0\x29"
    return Query(query_id, flags, name, kind, data[_QUESTION_AT:end], edns, len(data))


def reply(query: Query, answer: Answer, *, authoritative: bool = False, age_s: int = 0) -> bytes:
    """The response as bytes; `age_s` is how long the answer has been in a cache."""
    bits = 0x0400 if authoritative else 0x0080
    flags = 0x8000 | (query.flags & 0x7900) | bits | answer.rcode
    header = struct.pack("!6H", query.id, flags, 1, answer.answers, answer.authorities, int(query.edns))
    records = answer.records
    if age_s:
        aged = bytearray(records)
        for at in answer.ttl_at:
            (ttl,) = struct.unpack_from("!I", aged, at)
            struct.pack_into("!I", aged, at, max(0, ttl - age_s))
        records = bytes(aged)
    return header + query.question + records + (_OPT if query.edns else b"")


def ask(query_id: int, question: bytes) -> bytes:
    """A plain recursive query without EDNS."""
    return struct.pack("!6H", query_id, 0x0100, 1, 0, 0, 0) + question


def read_answer(data: bytes, question: bytes) -> Answer | None:
    """What a response to `question` says; None when it answers something else or is malformed."""
    start = _QUESTION_AT + len(question)
    if data[_QUESTION_AT:start] != question:
        return None
    try:
        flags, _, answers, authorities, _ = struct.unpack_from("!5H", data, 2)
        at, ttl_at, ttls = start, [], []
        for _ in range(answers + authorities):
            while data[at] and data[at] < 0xC0:
                at += 1 + data[at]
            at += 2 if data[at] >= 0xC0 else 1
            ttl, length = struct.unpack_from("!IH", data, at + 4)
            ttl_at.append(at + 4 - start)
            ttls.append(ttl)
            at += 10 + length
    except (struct.error, IndexError):
        return None
    return Answer(flags & 15, answers, authorities, data[start:at], tuple(ttl_at), min(ttls, default=0))


def addresses(found: tuple[str, ...], ttl_s: int) -> Answer:
    """A records of the name that was asked for."""
    head = struct.pack("!HHHIH", 0xC00C, A, 1, ttl_s, 4)
    records = b"".join(head + socket.inet_aton(address) for address in found)
    return Answer(NOERROR, len(found), 0, records, tuple(6 + 16 * n for n in range(len(found))), ttl_s)


def nothing(rcode: int, name: str, ttl_s: int) -> Answer:
    """NXDOMAIN, or NOERROR without data, with the SOA that lets it be cached (RFC 2308)."""
    labels = name.split(".")
    zone_at = _QUESTION_AT + sum(len(label) + 1 for label in labels[:-2])
    zone = struct.pack("!H", 0xC000 | zone_at)
    rdata = b"\2ns" + zone + b"\5admin" + zone + struct.pack("!5I", 1, 3600, 600, 86400, ttl_s)
    record = zone + struct.pack("!HHIH", SOA, 1, ttl_s, len(rdata)) + rdata
    return Answer(rcode, 0, 1, record, (6,), ttl_s)
