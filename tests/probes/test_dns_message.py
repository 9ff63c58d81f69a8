from __future__ import annotations

import contextlib

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.probes.base import BadParams
from bot.probes.resolving import dns_message

ASKED = dns_message.question("www.Example.com", "A")


def test_our_query_is_what_dnspython_reads() -> None:
    read = dns.message.from_wire(dns_message.query(0x1234, ASKED))
    assert (read.id, read.edns, bool(read.flags & dns.flags.RD)) == (0x1234, 0, True)
    assert read.question[0].to_text() == "www.Example.com. IN A"


def test_an_answer_by_dnspython_is_what_we_read() -> None:
    reply = dns.message.make_response(dns.message.from_wire(dns_message.query(7, ASKED)))
    reply.answer = [
        dns.rrset.from_text("www.example.com.", 60, "IN", "CNAME", "cdn.example.net."),
        dns.rrset.from_text("cdn.example.net.", 60, "IN", "A", "192.0.2.1", "192.0.2.2"),
    ]
    answer = dns_message.read(reply.to_wire(), 7, ASKED)
    assert answer is not None
    assert (answer.rcode, answer.records, answer.truncated) == (0, 2, False)
    assert set(answer.addresses) == {"192.0.2.1", "192.0.2.2"}  # dnspython shuffles what it writes
    assert dns_message.read(reply.to_wire(), 8, ASKED) is None
    assert dns_message.read(reply.to_wire(), 7, dns_message.question("other.example.com", "A")) is None


def test_a_query_is_not_taken_for_its_answer() -> None:
    assert dns_message.read(dns_message.query(7, ASKED), 7, ASKED) is None


def test_a_bare_refusal_without_its_question_counts() -> None:
    answer = dns_message.read(b"\x00\x07\x81\x85" + bytes(8), 7, ASKED)
    assert answer is not None
    assert dns_message.rcode_text(answer.rcode) == "REFUSED"


@pytest.mark.parametrize(
    ("name", "kind"), [("a" * 64 + ".com", "A"), ("a..b", "A"), ("a.com", "NOPE"), ("a.com", "AXFR")]
)
def test_names_and_types_that_dns_cannot_carry_are_refused(name: str, kind: str) -> None:
    with pytest.raises(BadParams):
        dns_message.question(name, kind)


@settings(max_examples=300, deadline=None)
@given(tail=st.binary(max_size=120), counts=st.binary(min_size=2, max_size=2))
def test_hostile_bytes_are_an_answer_nothing_or_malformed(tail: bytes, counts: bytes) -> None:
    head = b"\x00\x07\x81\x80\x00\x01" + counts + bytes(4)
    with contextlib.suppress(dns_message.Malformed):
        dns_message.read(head + ASKED.wire + tail, 7, ASKED)
    with contextlib.suppress(dns_message.Malformed):
        dns_message.question_name(head + tail)
