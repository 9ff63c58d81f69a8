"""More than 100,000 bent inputs to everything that reads what others wrote: each is read, or refused by its own error.

Hypothesis chooses and shrinks the seeds; each seed stands for a batch of inputs, for Hypothesis alone would take
minutes. What fails is shown, and `Random(seed)` makes it again.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent import policy_file
from bot.domain.errors import ConfigError, FrameError
from bot.domain.failure import Failure
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.lab.pki import Authority
from bot.probes.base import BadParams
from bot.probes.net import capture, certificate
from bot.probes.resolving import dns_message
from bot.probes.resolving.query_log import FORMATS
from bot.probes.table import KINDS, check
from bot.wire.codec import body_of, decode, encode, frame_of
from bot.wire.details import believable
from bot.wire.frames import Beat, Challenge, Frame, Hello, Job, Refused, Result, Status, Welcome
from bot.wire.handshake import AgentHandshake, Credentials, HubHandshake
from bot.wire.session import Session
from bot.wire.signing import Signer
from tests.security.mutation import ODD, bent, scrambled
from tests.security.shapes import shapes

BATCH = 100
COUNTS = {
    "frames": 1000,
    "envelopes": 400,
    "details": 400,
    "answers": 600,
    "packets": 300,
    "parameters": 800,
    "policies": 150,
    "logs": 300,
}
"""Batches of each; the last test adds up what was tried."""
SEEDS = st.integers(min_value=0, max_value=2**64 - 1)


def fuzzed(what: str) -> Callable[[Callable[[int], None]], Callable[[], None]]:
    """Run a test with so many seeds."""

    def decorate(test: Callable[[int], None]) -> Callable[[], None]:
        found: Callable[[], None] = settings(
            max_examples=COUNTS[what], deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )(given(seed=SEEDS)(test))
        return found

    return decorate


tried: Counter[str] = Counter()


def batch(seed: int, what: str) -> Iterator[Random]:
    """The dice of each input of a batch."""
    for number in range(BATCH):
        tried[what] += 1
        yield Random(f"{seed}/{number}")


SIGNER, OTHER = Signer(), Signer()
AGENT = Agent(
    name="sh-vm-1", region="shanghai", vantage="vm", env="prod", vpc="blue", cluster="k1", version="1",
    kinds=("dns", "tcp"), resolvers={"host": ("10.0.0.2:53",), "vpc": ("183.60.83.19:53",)},
)  # fmt: skip
DETAIL: dict[str, Any] = {
    "tries": 20, "ok": 18, "timeouts": 2, "low": 0.7, "high": 0.97, "p50_ms": 1.5, "p95_ms": 3.25,
    "failures": {"dns_timeout": 2}, "rcodes": {"NOERROR": 18}, "answers": ["10.0.0.1", "::1"], "resolvers": ["a:53"],
    "each": [{"ms": 1.5, "failure": None, "resolver": "10.0.0.2:53"}, {"ms": None, "failure": "dns_timeout"}],
    "clients": [{"address": "10.0.0.9", "qps": 80.5, "share": 0.8, "distinct": 3, "nxdomain_share": None}],
    "certificate": {"subject": "CN=a", "san": ["a"], "days_left": 3}, "date_skew_ms": -5, "reason": "x", "code": "A.B",
}  # fmt: skip
REQUEST = ProbeRequest(
    id="a/dns", probe="dns/a/vpc", kind="dns", layer="dns_vpc", target="a.test", agent="sh-vm-1",
    params={"name": "a.test", "server": "@vpc", "tries": 20}, timeout_s=9.5,
)  # fmt: skip
OUTCOME = Outcome(
    ok=False, failure=Failure.DNS_TIMEOUT, success_rate=0.5, timings_ms={"dns": 1.5, "total": 2}, detail=DETAIL
)
FRAMES: tuple[Frame, ...] = (
    Challenge(public_key=SIGNER.public, ephemeral=SIGNER.public, nonce="ab" * 16, now=1.7e9),
    Hello(
        agent=AGENT, public_key=OTHER.public, ephemeral=OTHER.public, nonce="cd" * 16, hub=SIGNER.public, challenge="aa"
    ),
    Welcome(now=1.7e9, proof="x"),
    Refused(reason="no", final=False),
    Job(id="1", audience="sh-vm-1", nonce="n", issued=1.7e9, expires=1.7e9 + 60, request=REQUEST),
    Result(job="1", nonce="n", outcome=OUTCOME, at=1.7e9, took_ms=5.5, lag_ms=0.5, clock_ms=-3.0),
    Status(state="ready", lag_ms=1.5, lacks=("no capture",)),
    Beat(now=1.7e9),
)  # fmt: skip
ROWS = [json.loads(body_of(frame)) for frame in FRAMES]
BODIES = [body_of(frame).encode() for frame in FRAMES]


@fuzzed("frames")
def test_a_bent_frame_is_read_or_refused(seed: int) -> None:
    for random in batch(seed, "frames"):
        if random.random() < 0.6:
            body = json.dumps(bent(random.choice(ROWS), random))
        else:
            body = scrambled(BODIES, random).decode("utf-8", random.choice(["replace", "surrogateescape"]))
        try:
            frame = frame_of(body)
        except FrameError:
            continue
        with contextlib.suppress(FrameError):  # a lone surrogate can be read and not be sent
            assert frame_of(body_of(frame)) == frame


@fuzzed("envelopes")
def test_a_bent_envelope_or_handshake_is_refused(seed: int) -> None:
    signed = [encode(frame, SIGNER) for frame in FRAMES]
    hub = HubHandshake(SIGNER, now=1.7e9)
    agent = AgentHandshake(AGENT, Credentials(signer=OTHER, token="t" * 20))
    hello, session = agent.answer(hub.challenge())
    hub.hear(hello)
    sealed = hub.welcome(now=1.7e9, token="t" * 20)[0]
    samples = [text.encode() for text in (*signed, hello, hub.challenge(), sealed.seal(FRAMES[4]))]
    readers: tuple[Callable[[Any], Any], ...] = (decode, hub.hear, agent.answer, Session.open.__get__(session))
    for random in batch(seed, "envelopes"):
        raw = scrambled(samples, random)
        text = raw.decode("utf-8", random.choice(["replace", "surrogateescape"]))
        for read, given_ in (*((read, text) for read in readers), (decode, raw)):
            with contextlib.suppress(FrameError):
                read(given_)


@fuzzed("details")
def test_whatever_an_agent_tells_in_detail_is_made_believable(seed: int) -> None:
    for random in batch(seed, "details"):
        detail = bent(DETAIL, random)
        seen = believable(detail if isinstance(detail, dict) else {"reason": detail})
        text = json.dumps(seen, allow_nan=False)
        assert believable(json.loads(text)).keys() <= seen.keys() | {"malformed"}


ASKED = dns_message.question("api.test", "A")
_A = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0a\0\0\1"
_CNAME = b"\xc0\x0c" + struct.pack("!HHIH", 5, 1, 60, 7) + b"\x04next\xc0\x10"
_AAAA = b"\xc0\x0c" + struct.pack("!HHIH", 28, 1, 60, 16) + bytes(16)
ANSWERS = [
    struct.pack("!HHHHHH", 7, 0x8180, 1, n, 0, 0) + ASKED.wire + records
    for n, records in ((1, _A), (3, _CNAME + _A + _AAAA), (0, b""), (2, _A * 2))
] + [struct.pack("!HHHHHH", 7, 0x8183, 0, 0, 0, 0)]


@fuzzed("answers")
def test_a_bent_dns_answer_is_read_or_malformed(seed: int) -> None:
    for random in batch(seed, "answers"):
        wire = scrambled(ANSWERS, random)
        if random.random() < 0.7:  # past the first checks
            wire = ANSWERS[0][:2] + wire[2:]
        with contextlib.suppress(dns_message.Malformed):
            dns_message.read(wire, 7, ASKED)
        with contextlib.suppress(dns_message.Malformed):
            dns_message.question_name(wire)


_UDP = struct.pack("!HHHH", 40000, 53, 40, 0)
PACKETS = [
    bytes([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]) + _UDP + dns_message.query(7, ASKED),
    bytes([0x46, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 1]) + _UDP + ANSWERS[0],
    bytes([0x60, 0, 0, 0, 0, 40, 17, 64]) + bytes(32) + _UDP + dns_message.query(7, ASKED),
]


@fuzzed("packets")
def test_a_bent_packet_is_no_trouble(seed: int) -> None:
    for random in batch(seed, "packets"):
        seen = capture.parse(scrambled(PACKETS, random), 53)
        assert seen is None or seen[1].client


SHAPES = shapes()


@fuzzed("parameters")
def test_bent_parameters_are_taken_or_named(seed: int) -> None:
    for random in batch(seed, "parameters"):
        shape = random.choice(SHAPES)
        kind = shape.kind if random.random() < 0.9 else random.choice(list(KINDS))
        params = bent({**shape.params, "tries": 3, "timeout_ms": 500, "type": "A"}, random)
        if not isinstance(params, dict):
            continue
        with contextlib.suppress(BadParams):
            check(kind, params)


POLICY: dict[str, Any] = {
    "public": "allow", "kinds": ["dns", "tcp"], "capture": False, "source": "10.0.0.1",
    "allow": [{"network": "10.0.0.0/8", "ports": [53, "8000-9000"], "kinds": "any"}],
    "resolvers": {"host": ["10.0.0.2"], "vpc": ["10.0.0.2:53", "[::1]:5353"]},
    "query_log": {"path": "q.log", "format": "unbound"},
    "logins": {"a": {"kind": "tcp", "for": ["h:1"], "user": "u", "secret_env": "WARROOM_FUZZ_SECRET"}},
    "budget": {"concurrent": 5, "dns_per_second": 2.5, "sockets": 10},
}  # fmt: skip


@fuzzed("policies")
def test_a_bent_policy_is_read_or_its_key_is_named(seed: int) -> None:
    for random in batch(seed, "policies"):
        value = bent(POLICY, random)
        with contextlib.suppress(ConfigError):
            policy_file._File(Path("policy.yaml")).settings(value)


@settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_a_bent_policy_file_is_read_or_refused(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bent.yaml"
    sample = json.dumps(POLICY).encode()
    for number in range(25):
        path.write_bytes(
            scrambled(
                [sample, b"allow:\n  - {network: 10.0.0.0/8, ports: any, kinds: any}\n"], Random(f"{seed}/{number}")
            )
        )
        with contextlib.suppress(ConfigError):
            policy_file.read(path)


LINES = [
    b'[INFO] 10.0.0.9:40000 - 7 "A IN api.test. udp 40 false 512" NOERROR qr,rd 60 0.001s',
    b"[1600000000] unbound[1:0] info: 10.0.0.9 api.test. A IN NXDOMAIN 0.0 0 40",
    b"Nov 24 10:00:00 dnsmasq[1]: 7 10.0.0.9/40000 query[A] api.test from 10.0.0.9",
    b"Nov 24 10:00:00 dnsmasq[1]: 7 10.0.0.9/40000 reply api.test is NXDOMAIN",
]


@fuzzed("logs")
def test_a_bent_log_line_is_a_line_or_nothing(seed: int) -> None:
    for random in batch(seed, "logs"):
        line = scrambled(LINES, random)[:4096]
        for read in FORMATS.values():
            seen = read(line)
            assert seen is None or isinstance(seen.name, str)


@settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(seed=SEEDS)
def test_a_bent_certificate_is_described_or_not(seed: int) -> None:
    for number in range(25):
        seen = certificate.describe(scrambled([CERTIFICATE], Random(f"{seed}/{number}")), datetime.now(UTC))
        assert isinstance(json.dumps(seen), str)


def _der() -> bytes:
    import ssl

    leaf = Authority().issue(["api.test", "10.0.0.1"], begins=timedelta(days=-1), ends=timedelta(days=5))
    return ssl.PEM_cert_to_DER_cert(leaf.certificate.decode().partition("-----END")[0] + "-----END CERTIFICATE-----\n")


CERTIFICATE = _der()


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_reads_every_odd_value_in_every_parameter(kind: str, value: object) -> None:
    for shape in (s for s in SHAPES if s.kind == kind):
        for name in {
            *shape.params,
            "tries",
            "timeout_ms",
            "spacing_ms",
            "type",
            "payload",
            "signed",
            "seconds",
            "login",
        }:
            with contextlib.suppress(BadParams):
                check(kind, {**shape.params, name: value})


def test_more_than_100_000_inputs_were_tried() -> None:
    """Those that this run has come by; with the whole module they are all of them."""
    assert sum(COUNTS.values()) * BATCH > 100_000
    assert dict(tried) == {what: COUNTS[what] * BATCH for what in tried}


def test_what_the_fuzz_has_found_stays_mended(tmp_path: Path) -> None:
    assert believable({"x": 10**400, "tries": 10**400}) == {"x": None, "malformed": ["tries"]}
    for name in ("a\ud800", "a\nb", "a\x1b[31m", "a\u202eb"):
        row = json.loads(json.dumps(ROWS[1]))
        row["agent"]["name"] = name
        with pytest.raises(FrameError, match="name must be plain text of one line"):
            frame_of(json.dumps(row))
    for text in (
        "query_log: {path: q.log, format: []}",
        "[" * 900,
        "a: " + "9" * 5000,
        "a: 2001-99-99",
        "kinds: [[dns]]",
    ):
        (tmp_path / "policy.yaml").write_text(text)
        with pytest.raises(ConfigError):
            policy_file.read(tmp_path / "policy.yaml")
