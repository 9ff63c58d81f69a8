from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.domain.errors import FrameError
from bot.domain.failure import Failure
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.wire.codec import body_of, decode, encode, frame_of
from bot.wire.frames import MAX_FRAME, Frame, Hello, Job, Result, Status, Welcome
from bot.wire.signing import Signer, Verifier
from tests.wire.strategies import frames, hostile_json

HUB = Signer(b"h" * 32)
STRANGER = Signer(b"s" * 32)
CI = os.environ.get("CI") == "true"
many = settings(max_examples=2000 if CI else 300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=500 if CI else 150)
NOW = 1_800_000_000.0


def refusal(text: str | bytes, verifier: Verifier | None = None) -> str:
    with pytest.raises(FrameError) as caught:
        decode(text, verifier)
    return str(caught.value)


def read_or_refuse(text: str | bytes) -> None:
    """Whatever arrives is a frame or a FrameError; anything else ends the test."""
    for verifier in (None, Verifier(HUB.public)):
        with contextlib.suppress(FrameError):
            decode(text, verifier)
    if isinstance(text, str):
        with contextlib.suppress(FrameError):
            frame_of(text)


def spell(row: Mapping[str, Any], **envelope: Any) -> str:
    """An envelope around a body we wrote by hand."""
    return json.dumps({"body": json.dumps(row), **envelope})


def body(frame: Frame) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(body_of(frame))
    return row


def hello(**changes: Any) -> Hello:
    agent = Agent(name="sh-vm", region="shanghai", vantage="vm")
    plain = {"agent": agent, "public_key": "k", "ephemeral": "e", "nonce": "n", "hub": "h", "challenge": "c"}
    return Hello(**{**plain, **changes})


def job(**changes: Any) -> Job:
    request = ProbeRequest(id="r1", probe="tcp/api", kind="tcp", layer="tcp", target="api", agent="sh-vm")
    plain = {"id": "j1", "audience": "sh-vm", "nonce": "n1", "issued": NOW, "expires": NOW + 60, "request": request}
    return Job(**{**plain, **changes})


@some
@given(frames)
def test_every_frame_reads_back_as_it_was_written(frame: Frame) -> None:
    assert frame_of(body_of(frame)) == frame
    assert decode(encode(frame, HUB)) == frame
    assert decode(encode(frame, HUB), Verifier(HUB.public)) == frame
    assert decode(encode(frame, HUB).encode()) == frame


@many
@given(st.text() | st.binary())
@example("")
@example("[" * 100_000)
@example('{"body": ' * 50_000)
@example(json.dumps({"body": "[" * 100_000}))
@example(b"\xff\xfe{")
@example('{"body": "\\ud800"}')
@example(f'{{"body": {"9" * 5000}}}')
def test_arbitrary_text_and_bytes_are_refused_and_nothing_else(noise: str | bytes) -> None:
    read_or_refuse(noise)


@many
@given(hostile_json, hostile_json)
def test_arbitrary_json_is_refused_inside_and_outside_the_envelope(outer: Any, inner: Any) -> None:
    read_or_refuse(json.dumps(outer))
    read_or_refuse(json.dumps({"body": inner, "sig": outer}))
    read_or_refuse(json.dumps({"body": json.dumps(inner), "sig": outer}))


@some
@given(frames, st.data())
def test_a_frame_with_any_one_part_replaced_is_read_or_refused(frame: Frame, data: st.DataObject) -> None:
    row = body(frame)
    part = data.draw(st.sampled_from(sorted(row)))
    if isinstance(row[part], dict) and row[part] and data.draw(st.booleans()):
        row[part][data.draw(st.sampled_from(sorted(row[part])))] = data.draw(hostile_json)
    else:
        row[part] = data.draw(hostile_json)
    read_or_refuse(spell(row))
    read_or_refuse(json.dumps({"body": json.dumps(row), "sig": HUB.sign(json.dumps(row).encode())}))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN", "9" * 400])
@pytest.mark.parametrize(
    "spelled",
    [
        '{"type":"challenge","public_key":"","ephemeral":"","nonce":"","now":1,"protocol":%s}',
        '{"type":"welcome","now":%s,"proof":""}',
        '{"type":"beat","now":%s}',
        '{"type":"status","state":"ready","clock_ms":%s}',
        '{"type":"status","state":"ready","lag_ms":%s}',
        '{"type":"result","job":"","nonce":"","at":%s,"took_ms":1,"outcome":{"ok":true}}',
        '{"type":"result","job":"","nonce":"","at":1,"took_ms":1,"outcome":{"ok":true,"timings_ms":{"dns":%s}}}',
    ],
)
def test_a_number_that_is_none_is_refused(spelled: str, number: str) -> None:
    refusal(json.dumps({"body": spelled % number}))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN", "9" * 400])
def test_no_number_inside_a_detail_is_one_that_json_cannot_carry_on(number: str) -> None:
    result = '{"type":"result","job":"","nonce":"","at":1,"took_ms":1,"outcome":{"ok":true,"detail":{"a":[NUMBER]}}}'
    body = result.replace("NUMBER", number)
    if number in ("Infinity", "NaN"):
        assert "is not a number JSON knows" in refusal(json.dumps({"body": body}))
        return
    heard = frame_of(body)
    assert isinstance(heard, Result)
    assert heard.outcome.detail == {"a": [None]}


def test_what_the_hub_notes_about_an_agent_is_not_taken_from_the_agent() -> None:
    noted = Agent(
        name="sh-vm",
        region="shanghai",
        vantage="vm",
        last_seen=datetime.now(UTC),
        lag_ms=3.0,
        clock_ms=2.0,
        lacks=("x",),
    )
    row = body(hello(agent=noted))
    claimed = {**row["agent"], "last_seen": "2026-01-01", "lag_ms": 3.0, "clock_ms": 2.0, "lacks": ["x"]}
    for one in (row, {**row, "agent": claimed}):
        heard = frame_of(json.dumps(one))
        assert isinstance(heard, Hello)
        assert heard.agent == Agent(name="sh-vm", region="shanghai", vantage="vm")


def test_the_signature_covers_the_bytes_so_any_spelling_of_the_same_json_needs_its_own() -> None:
    envelope = json.loads(encode(job(), HUB))
    respelled = json.dumps(json.loads(envelope["body"]))
    assert json.loads(respelled) == json.loads(envelope["body"])
    assert "does not verify" in refusal(json.dumps({**envelope, "body": respelled}), Verifier(HUB.public))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda text: encode(job(), STRANGER), "does not verify"),
        (lambda text: json.dumps({"body": json.loads(text)["body"]}), "malformed frame: KeyError"),
        (lambda text: text.replace("sh-vm", "sh-vn"), "does not verify"),
        (lambda text: json.dumps({**json.loads(text), "sig": ""}), "does not verify"),
        (lambda text: json.dumps({**json.loads(text), "sig": None}), "does not verify"),
        (lambda text: json.dumps({**json.loads(text), "sig": "签名"}), "does not verify"),
        (lambda text: json.dumps({**json.loads(text), "sig": json.loads(text)["sig"] + "\n"}), "does not verify"),
    ],
    ids=["stranger's", "none", "body changed", "empty", "null", "not base64", "with a newline"],
)
def test_a_forged_frame_is_refused(forge: Any, reason: str) -> None:
    text = encode(job(), HUB)
    assert decode(text, Verifier(HUB.public)) == job()
    assert reason in refusal(forge(text), Verifier(HUB.public))


@pytest.mark.parametrize("key", ["", "!!!!", "AAAA", "签名", STRANGER.public + "A" * 44])
def test_what_is_not_a_public_key_is_refused(key: str) -> None:
    with pytest.raises(FrameError, match="32 bytes of base64"):
        Verifier(key)


def test_a_signer_made_from_its_seed_is_the_same_signer() -> None:
    assert Signer(HUB.seed).public == HUB.public
    assert len(HUB.seed) == 32
    Verifier(HUB.public).verify(b"body", Signer(HUB.seed).sign(b"body"))


def test_an_oversize_frame_is_refused_unread() -> None:
    assert f"at most {MAX_FRAME}" in refusal(" " * (MAX_FRAME + 1))
    assert "malformed" in refusal(" " * MAX_FRAME)


@pytest.mark.parametrize("size", [81, 10_000])
def test_names_are_bounded(size: int) -> None:
    named = hello(agent=Agent(name="n" * size, region="r", vantage="vm"))
    assert "name must be text of at most 80 characters" in refusal(encode(named, HUB))


@pytest.mark.parametrize("name", ["sh-vm\u200b", "sh\u2028vm", "sh\u00a0vm", "sh\nvm", "sh\u202evm", "\ufeffsh-vm"])
def test_a_name_holds_nothing_that_is_not_seen(name: str) -> None:
    """It would look like the name of another agent, or like two lines."""
    named = hello(agent=Agent(name=name, region="r", vantage="vm"))
    assert "name must be plain text of one line" in refusal(encode(named, HUB))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"ok": "yes"}, "ok must be true or false"),
        ({"ok": True, "success_rate": 1.5}, "success_rate must lie between 0 and 1"),
        ({"ok": False, "failure": "gremlins"}, "malformed"),
        ({"ok": False, "fault_of": "somebody"}, "malformed"),
        ({"ok": True, "detail": [1]}, "detail must be an object"),
        ({"ok": True, "timings_ms": {"dns": "soon"}}, "ms must be a number"),
    ],
)
def test_an_outcome_outside_the_vocabulary_is_refused(row: dict[str, Any], reason: str) -> None:
    frame = Result(job="j", nonce="n", outcome=Outcome(ok=True), at=1.0, took_ms=1.0)
    assert decode(encode(frame, HUB)) == frame
    assert reason in refusal(spell({**body(frame), "outcome": row}))


def test_a_frame_of_a_type_we_do_not_speak_is_refused() -> None:
    assert "malformed" in refusal(spell({"type": "shell", "command": "id"}))
    assert "malformed" in refusal(spell({}))


def test_a_frame_may_say_more_than_we_read() -> None:
    row = {**body(Status(state="ready")), "from_protocol_3": {"x": 1}}
    assert decode(spell(row, extra=1)) == Status(state="ready")


def test_our_own_frames_hold_nothing_json_cannot_carry() -> None:
    for outcome in (
        Outcome(ok=True, timings_ms={"dns": math.inf}),
        Outcome(ok=True, detail={"rate": math.nan}),
        Outcome(ok=True, detail={"body": b"bytes"}),
        Outcome(ok=True, detail={"body": "\ud800"}),
    ):
        with pytest.raises(FrameError, match="JSON cannot carry"):
            encode(Result(job="j", nonce="n", outcome=outcome, at=1.0, took_ms=1.0), HUB)


def test_our_own_frames_are_never_oversize() -> None:
    outcome = Outcome(ok=True, detail={"body": "诊" * (MAX_FRAME // 6)})
    with pytest.raises(FrameError, match=f"at most {MAX_FRAME} bytes may be sent"):
        encode(Result(job="j", nonce="n", outcome=outcome, at=1.0, took_ms=1.0), HUB)


def test_a_failure_travels_as_its_word() -> None:
    frame = Result(job="j", nonce="n", outcome=Outcome(ok=False, failure=Failure.DNS_TIMEOUT), at=1.0, took_ms=1.0)
    assert body(frame)["outcome"]["failure"] == "dns_timeout"
    assert isinstance(decode(encode(Welcome(now=1), HUB)), Welcome)


def test_what_an_agent_lacks_is_bounded_and_moves_no_cursor() -> None:
    row = {**body(Status(state="ready")), "lacks": ["ping: no\x1b[2J capability" + "!" * 400] * 40}
    heard = frame_of(json.dumps(row))
    assert isinstance(heard, Status)
    assert len(heard.lacks) == 32
    assert all(len(one) == 300 and "\x1b" not in one for one in heard.lacks)
    for wrong in ("ping", {"ping": 1}, 7):
        assert "lacks must be a list" in refusal(spell({**row, "lacks": wrong}))


def test_a_refusal_says_whether_it_is_for_good() -> None:
    assert "final must be true or false" in refusal(spell({"type": "refused", "reason": "x", "final": "no"}))
    assert "malformed" in refusal(spell({"type": "refused", "reason": "x"}))
