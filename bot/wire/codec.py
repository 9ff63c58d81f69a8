"""Frames as JSON and back: a row is one frame as a dict, read strictly. Signing and sealing are done elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from bot.domain.errors import FrameError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.domain.text import legible
from bot.wire.details import believable
from bot.wire.frames import MAX_FRAME, PROTOCOL, Beat, Challenge, Frame, Hello, Job, Refused, Result, Status, Welcome
from bot.wire.signing import Signer, Verifier

_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def body_of(frame: Frame) -> str:
    """The frame as JSON. Raises FrameError for one that nobody could read."""
    kind = type(frame).__name__.lower()
    try:
        body = _WRITE({"type": kind, **_dump(frame)})
        body.encode()
    except (ValueError, TypeError, RecursionError) as exc:
        raise FrameError(f"a {kind} frame that JSON cannot carry: {exc}") from exc
    return body


def frame_of(body: str) -> Frame:
    """The frame that a body spells. Raises FrameError and nothing else."""
    try:
        row = _READ(body)
        frame: Frame = _READERS[row["type"]](row)
        return frame
    except FrameError:
        raise
    except _UNREADABLE as exc:
        raise FrameError(f"malformed frame: {type(exc).__name__}") from exc


def bounded(text: str, what: str) -> str:
    """The text, if it may travel. Raises FrameError."""
    if len(text) > MAX_FRAME or (not text.isascii() and len(text.encode()) > MAX_FRAME):
        raise FrameError(f"a {what} frame of {len(text)} characters; at most {MAX_FRAME} bytes may be sent")
    return text


def encode(frame: Frame, signer: Signer) -> str:
    """The frame in an envelope signed over the very bytes of its body. Raises FrameError."""
    body = body_of(frame)
    envelope = {"body": body, "sig": signer.sign(body.encode())}
    return bounded(json.dumps(envelope), type(frame).__name__.lower())


def decode(text: str | bytes, verifier: Verifier | None = None) -> Frame:
    """Read a signed frame; without a verifier the signature is not looked at yet. Raises FrameError, nothing else."""
    if len(text) > MAX_FRAME:
        raise FrameError(f"frame of {len(text)} bytes; at most {MAX_FRAME} are read")
    try:
        envelope = json.loads(text)
        body = envelope["body"]
        if verifier is not None:
            verifier.verify(body.encode(), envelope["sig"])
    except FrameError:
        raise
    except _UNREADABLE as exc:
        raise FrameError(f"malformed frame: {type(exc).__name__}") from exc
    return frame_of(body)


def _dump(value: Any) -> dict[str, Any]:
    """The fields of a frame. Those that hold a value of several fields themselves are named in `_NESTED`."""
    row = {name: getattr(value, name) for name in _names(type(value))}
    nested = _NESTED.get(type(value))
    if nested:
        row[nested] = _dump(row[nested])
    return row


_NESTED: Mapping[type, str] = {Hello: "agent", Job: "request", Result: "outcome"}


_HUBS_OWN = frozenset({"last_seen", "lag_ms", "clock_ms", "lacks"})
"""What the hub notes about an agent; it is not the agent's to say in its introduction."""
_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: type) -> tuple[str, ...]:
    known = _NAMES.get(kind)
    if known is None:
        hidden = _HUBS_OWN if kind is Agent else frozenset()
        known = _NAMES[kind] = tuple(f.name for f in fields(kind) if f.name not in hidden)
    return known


def _no_number(spelled: str) -> float:
    """Neither a database nor a browser takes NaN or an infinity, so none comes in."""
    raise FrameError(f"{spelled[:40]} is not a number JSON knows")


_MAX_NUMBER = 1e13
"""Three hundred years in ms: what a frame itself counts in stays a number after any sum it goes into."""
_READ = json.JSONDecoder(parse_constant=_no_number).decode


def _str(row: Mapping[str, Any], key: str, limit: int = 200) -> str:
    value = row[key]
    if not isinstance(value, str) or len(value) > limit:
        raise FrameError(f"{key} must be text of at most {limit} characters")
    return value


def _num(row: Mapping[str, Any], key: str, default: float | None = None) -> float:
    value = row.get(key, default) if default is not None else row[key]
    # False of NaN as well.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MAX_NUMBER:
        raise FrameError(f"{key} must be a number of at most {_MAX_NUMBER:g}")
    return float(value)


def _bool(row: Mapping[str, Any], key: str) -> bool:
    value = row[key]
    if not isinstance(value, bool):
        raise FrameError(f"{key} must be true or false")
    return value


def _map(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = row.get(key) or {}
    if not isinstance(value, dict):
        raise FrameError(f"{key} must be an object")
    return value


def _shown(row: Mapping[str, Any], key: str, limit: int) -> str:
    """Text that is written to logs, tables and pages as it stands, and names somebody: refused, not mended."""
    value = _str(row, key, limit)
    # Neither a line separator nor what has no width: a name that looks like another's is not another name.
    if not value.isprintable():
        raise FrameError(f"{key} must be plain text of one line")
    return value


def _agent(row: Mapping[str, Any]) -> Agent:
    groups = {legible(str(k)[:20]): v for k, v in _map(row, "resolvers").items()}
    return Agent(
        name=_shown(row, "name", 80),
        region=_shown(row, "region", 80),
        vantage=_shown(row, "vantage", 40),
        env=_shown(row, "env", 40),
        vpc=_shown(row, "vpc", 80),
        cluster=_shown(row, "cluster", 80),
        state=_shown(row, "state", 20),
        version=_shown(row, "version", 40),
        kinds=tuple(legible(str(k)[:40]) for k in row.get("kinds") or ())[:64],
        resolvers={k: tuple(legible(str(a)[:80]) for a in v)[:8] for k, v in list(groups.items())[:8]},
    )


def _request(row: Mapping[str, Any]) -> ProbeRequest:
    return ProbeRequest(
        id=_str(row, "id"),
        probe=_str(row, "probe"),
        kind=_str(row, "kind", 40),
        layer=_str(row, "layer", 40),
        target=_str(row, "target", 2000),
        agent=_str(row, "agent", 80),
        params=_map(row, "params"),
        timeout_s=_num(row, "timeout_s"),
        why=_str(row, "why", 1000),
    )


def _outcome(row: Mapping[str, Any]) -> Outcome:
    ok = _bool(row, "ok")
    rate = None if row.get("success_rate") is None else _num(row, "success_rate")
    if rate is not None and not 0 <= rate <= 1:
        raise FrameError("success_rate must lie between 0 and 1")
    return Outcome(
        ok=ok,
        failure=Failure(row["failure"]) if row.get("failure") else None,
        fault_of=FaultOf(row["fault_of"]) if row.get("fault_of") else None,
        success_rate=rate,
        timings_ms={legible(str(k)[:40]): _num({"ms": v}, "ms") for k, v in _map(row, "timings_ms").items()},
        detail=believable(_map(row, "detail")),
    )


_SINCE_2 = dict.fromkeys(("ephemeral", "nonce", "hub", "challenge", "token_id", "proof", "process"), "")


def _hello(row: Mapping[str, Any]) -> Hello:
    protocol = int(_num(row, "protocol"))
    if protocol < PROTOCOL:
        # It is read all the same, so that it can be told what is spoken here.
        row = {**_SINCE_2, **row}
    return Hello(
        agent=_agent(_map(row, "agent")),
        public_key=_str(row, "public_key"),
        ephemeral=_str(row, "ephemeral"),
        nonce=_str(row, "nonce"),
        hub=_str(row, "hub"),
        challenge=_str(row, "challenge"),
        token_id=_str(row, "token_id"),
        proof=_str(row, "proof"),
        process=_str(row, "process"),
        protocol=protocol,
    )


def _job(row: Mapping[str, Any]) -> Job:
    return Job(
        id=_str(row, "id"),
        audience=_str(row, "audience"),
        nonce=_str(row, "nonce"),
        issued=_num(row, "issued"),
        expires=_num(row, "expires"),
        request=_request(_map(row, "request")),
    )


def _result(row: Mapping[str, Any]) -> Result:
    return Result(
        job=_str(row, "job"),
        nonce=_str(row, "nonce"),
        outcome=_outcome(_map(row, "outcome")),
        at=_num(row, "at"),
        took_ms=_num(row, "took_ms"),
        lag_ms=_num(row, "lag_ms", 0.0),
        clock_ms=_num(row, "clock_ms", 0.0),
    )


def _status(row: Mapping[str, Any]) -> Status:
    lacks = row.get("lacks") or ()
    if not isinstance(lacks, list | tuple):
        raise FrameError("lacks must be a list")
    return Status(
        state=_str(row, "state", 20),
        lag_ms=_num(row, "lag_ms", 0.0),
        clock_ms=_num(row, "clock_ms", 0.0),
        lacks=tuple(legible(str(one)[:300]) for one in lacks[:32]),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Frame]] = {
    "challenge": lambda r: Challenge(
        public_key=_str(r, "public_key"),
        ephemeral=_str(r, "ephemeral"),
        nonce=_str(r, "nonce"),
        now=_num(r, "now"),
        protocol=int(_num(r, "protocol")),
    ),
    "hello": _hello,
    "welcome": lambda r: Welcome(now=_num(r, "now"), proof=_str(r, "proof")),
    "refused": lambda r: Refused(reason=_str(r, "reason", 1000), final=_bool(r, "final")),
    "job": _job,
    "result": _result,
    "status": _status,
    "beat": lambda r: Beat(now=_num(r, "now")),
}
