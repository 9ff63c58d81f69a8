"""What an agent says in detail, made safe to reckon with: a lying agent may be wrong, it may not break a run.

Fields that the hub reckons with or shows must have their shape; a field that has not is dropped and named
under "malformed". Other fields are kept as plain JSON, cut to a bounded depth and size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.domain.failure import Failure
from bot.domain.text import legible

MANY = 1000
LONG = 500
DEEP = 4
_MAX = 1e9
_AGES = 136 * 366 * 86_400e3
"""An era of NTP in ms: a clock may be that wrong."""
_FAILURES = frozenset(f.value for f in Failure)


Read = Callable[[Any], Any]


class _Malformed(ValueError):
    """A value is not of its field's shape."""


def believable(detail: Mapping[str, Any]) -> dict[str, Any]:
    """The detail with every known field in its shape. Never raises."""
    out: dict[str, Any] = {}
    malformed: list[str] = []
    for key, value in list(detail.items())[:64]:
        name = _text(str(key)[:64])
        read = _SHAPES.get(name, _plain)
        try:
            out[name] = read(value) if value is not None else None
        except _Malformed:
            malformed.append(name)
    if isinstance(out.get("tries"), int) and isinstance(out.get("ok"), int) and out["ok"] > out["tries"]:
        malformed += ["ok", "tries"]
        del out["ok"], out["tries"]
    out = {key: value for key, value in out.items() if value is not None or key not in _SHAPES}
    return {**out, "malformed": malformed} if malformed else out


def _number(value: Any, *, low: float = -_MAX, high: float = _MAX) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise _Malformed
    return float(value)


def _count(low: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= _MAX:
            raise _Malformed
        return value

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Malformed
    return legible(value[:LONG])


def _share(value: Any) -> float:
    return _number(value, low=0.0, high=1.0)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Malformed
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise _Malformed
    return [_text(v) for v in value[:MANY]]


def _counts(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise _Malformed
    return {_text(k): _count(0)(v) for k, v in list(value.items())[:64]}


def _failures(value: Any) -> dict[str, int]:
    counts = _counts(value)
    if not counts.keys() <= _FAILURES:
        raise _Malformed
    return counts


def _rows(shape: Mapping[str, Read], *, needs: tuple[str, ...] = ()) -> Callable[[Any], list[dict[str, Any]]]:
    def row(given: Any) -> dict[str, Any]:
        if not isinstance(given, dict) or any(given.get(name) is None for name in needs):
            raise _Malformed
        return {_text(k): shape.get(k, _plain)(v) for k, v in list(given.items())[:32] if v is not None or k in shape}

    def read(value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            raise _Malformed
        return [row(given) for given in value[:MANY]]

    return read


def _maybe(read: Read) -> Read:
    return lambda value: None if value is None else read(value)


def _finite(value: Any) -> float:
    """Any number at all: what a metric counts may be bytes of a year."""
    return _number(value, low=-1e300, high=1e300)


def _points(value: Any) -> list[list[float | None]]:
    """Points of a line, `[at, value]` each."""
    if not isinstance(value, list) or not all(isinstance(point, list) and len(point) == 2 for point in value[:MANY]):
        raise _Malformed
    return [[_maybe(_finite)(number) for number in point] for point in value[:MANY]]


def _positive(value: Any) -> float:
    return _number(value, low=0.0)


def _plain(value: Any, depth: int = 0) -> Any:
    """Plain JSON, bounded; numbers finite."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        # False of NaN as well; `isfinite` would raise OverflowError for an int of 400 digits.
        return value if abs(value) <= _MAX * 1e3 else None
    if depth >= DEEP:
        return None
    if isinstance(value, list):
        return [_plain(v, depth + 1) for v in value[:MANY]]
    if isinstance(value, dict):
        return {_text(str(k)[:64]): _plain(v, depth + 1) for k, v in list(value.items())[:64]}
    raise _Malformed


_TRY: Mapping[str, Read] = {"ms": _maybe(_positive), "failure": _maybe(_text), "resolver": _maybe(_text)}
_CLIENT: Mapping[str, Read] = {
    "address": _text,
    "qps": _positive,
    "share": _share,
    "distinct": _count(0),
    "nxdomain_share": _maybe(_share),
}
_POD: Mapping[str, Read] = {
    "address": _maybe(_text),
    "name": _text,
    "node": _text,
    "restarts": _count(0),
    "oom_at": _maybe(_text),
    "qps": _positive,
    "rcodes": _counts,
    "servfail_share": _share,
    "cache_hit_share": _share,
    "cpu_cores": _positive,
    "tries": _count(0),
    "ok": _count(0),
    "ms": _maybe(_positive),
}
_CHANGE: Mapping[str, Read] = dict.fromkeys(("at", "kind", "title", "who", "env", "service", "url", "source"), _text)
_INCIDENT: Mapping[str, Read] = {
    "title": _text,
    "status": _text,
    "impact": _text,
    "since": _maybe(_text),
    "url": _text,
}
_SERIES: Mapping[str, Read] = {"value": _maybe(_finite), "at": _maybe(_finite), "values": _points}
_HOP: Mapping[str, Read] = {
    "ttl": _count(1),
    "address": _maybe(_text),
    "sent": _count(0),
    "received": _count(0),
    "loss": _maybe(_share),
    **dict.fromkeys(("min_ms", "avg_ms", "max_ms", "jitter_ms"), _maybe(_positive)),
    "said": _text,
    "others": _texts,
}
_SHAPES: Mapping[str, Read] = {
    "tries": _count(1),
    "ok": _count(0),
    "timeouts": _count(0),
    "low": _share,
    "high": _share,
    "p50_ms": _positive,
    "p95_ms": _positive,
    "date_skew_ms": _number,
    "qps": _positive,
    "seconds": _positive,
    "failures": _failures,
    "rcodes": _counts,
    "answers": _texts,
    "resolvers": _texts,
    "code": _text,
    "message": _text,
    "version": _text,
    "connections": _count(0),
    "limit": _count(0),
    "used_share": _share,
    "slots_left": _count(0),
    "role": _text,
    "read_only": _flag,
    "reason": _text,
    "source": _text,
    "each": _rows(_TRY),
    "total": _count(0),
    "counted": _count(0),
    "counts": _counts,
    "samples": _rows({"at": _maybe(_text), "text": _text}, needs=("text",)),
    "value": _finite,
    "series": _rows(_SERIES),
    "series_total": _count(0),
    "warnings": _texts,
    "lacking": _texts,
    "nodes": _count(0),
    "zones": _rows({"server": _text, "zone": _text, "qps": _positive}, needs=("zone", "qps")),
    "pods": _rows(_POD),
    "changes": _rows(_CHANGE, needs=("at", "kind", "title")),
    "indicator": _text,
    "components": _rows({"name": _text, "status": _text}, needs=("name", "status")),
    "incidents": _rows(_INCIDENT, needs=("title", "status")),
    "open": _count(0),
    "clients": _rows(_CLIENT, needs=("address", "qps", "share")),
    "host": _text,
    "method": _text,
    "proto": _text,
    "loss": _share,
    **dict.fromkeys(("min_ms", "avg_ms", "max_ms", "mdev_ms", "delay_ms", "uncertainty_ms"), _positive),
    "size": _count(0),
    "low_bytes": _count(1),
    "high_bytes": _count(1),
    "path_mtu": _count(1),
    "local_mtu": _count(1),
    "black_hole": _flag,
    "reported_by": _text,
    "hops": _rows(_HOP, needs=("ttl",)),
    "reached": _flag,
    "offset_ms": lambda value: _number(value, low=-_AGES, high=_AGES),
    "stratum": _count(0),
    "leap": _count(0),
    "reference_id": _text,
}
