"""Where the escalation of a spooled alert stands, as a document of the spool."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.escalation import Escalation, Phase
from bot.domain.page import CallMade, CallState


def write_state(alert: str, state: Escalation, calls: Sequence[CallMade]) -> dict[str, Any]:
    """{"kind": "state", "alert", "state": {...}, "calls": [...]}"""
    written = [_plain(call) for call in calls]
    return {"kind": "state", "alert": alert, "state": _plain(state), "calls": written}


def read_state(row: Mapping[str, Any]) -> tuple[Escalation, tuple[CallMade, ...]]:
    """The inverse of `write_state`."""
    state = _timed(row["state"])
    state |= {"phase": Phase(state["phase"]), "called": tuple(state["called"])}
    calls = []
    for call in row["calls"]:
        made = _timed(call)
        calls.append(CallMade(**{**made, "ways": tuple(made["ways"]), "state": CallState(made["state"])}))
    return Escalation(**state), tuple(calls)


def _plain(value: Any) -> dict[str, Any]:
    row = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: datetime.fromisoformat(v) if k.endswith("_at") and v else v for k, v in row.items()}
