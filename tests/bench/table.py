"""What a benchmark says, and how it is shown: one row per goal, ours beside a peer of the same run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much to measure: rounds of ours and theirs in turn, seconds each, tries per timing."""

    rounds: int = 5
    seconds: float = 2.0
    tries: int = 2000


FULL = Effort()
QUICK = Effort(rounds=1, seconds=0.2, tries=20)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of ours and a peer's. `ratio` is ours to the peer's; `met` is None where there is no goal."""

    row: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """The word in the table."""
        return {True: "met", False: "missed", None: ""}[self.met]


Measure = Callable[[Effort], Iterable[Row]]


def faster(
    row: str, rounds: Sequence[tuple[float, float]], *, peer_name: str, times: float, note: str, unit: str = "per s"
) -> Row:
    """A row of rates: medians over rounds of (ours, theirs); the goal is that many times the peer's."""
    ratio = median(ours / theirs for ours, theirs in rounds)
    return Row(
        row=row,
        unit=unit,
        ours=round(median(ours for ours, _ in rounds)),
        peer=round(median(theirs for _, theirs in rounds)),
        peer_name=peer_name,
        ratio=round(ratio, 2),
        goal=f">= {times:g} x peer",
        met=ratio >= times,
        note=note,
    )


def below(row: str, ours: float, limit: float, *, unit: str, peer: float, peer_name: str, note: str = "") -> Row:
    """A row with a limit of its own; the peer only stands beside it."""
    return Row(
        row=row,
        unit=unit,
        ours=_figures(ours),
        peer=_figures(peer),
        peer_name=peer_name,
        ratio=float(f"{ours / peer:.3g}") if peer else None,
        goal=f"<= {limit:g} {unit}",
        met=ours <= limit,
        note=note,
    )


def _figures(value: float) -> float:
    return float(f"{value:.3g}")


def markdown(rows: Sequence[Row]) -> str:
    """The table as it stands in docs/benchmarks.md."""
    head = ("row", "ours", "peer", "ratio", "goal", "", "note")
    lines = [_line(head), _line(["---"] * len(head))]
    for r in rows:
        peer = f"{r.peer:,g} ({r.peer_name})" if r.peer is not None else ""
        ratio = f"{r.ratio:g}" if r.ratio is not None else ""
        lines.append(_line((r.row, f"{r.ours:,g} {r.unit}", peer, ratio, r.goal, r.verdict, r.note)))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> dict[str, Any]:
    """Where this was measured. `load` is what else ran at that moment."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def document(rows: Sequence[Row], before: dict[str, Any]) -> dict[str, Any]:
    """What goes into bench.json."""
    return {"machine": before, "load_after": machine()["load"], "rows": [asdict(r) for r in rows]}
