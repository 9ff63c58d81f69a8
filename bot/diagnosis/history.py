"""What is known of the time before a run: what is normal, since when it is not, and what was changed.

Facts about it are absent where nobody knows: no patrols, no baseline yet, nobody who posts changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from bot.diagnosis.baseline import Baseline, Key, Onset, baselines, began, by_cell
from bot.diagnosis.cells import Cell
from bot.domain.change import Change, ChangeKind
from bot.domain.patrol import Sample
from bot.domain.probe import Observation

BEFORE_ONSET = timedelta(hours=1)
"""A change so long before the trouble may be what began it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """`began` says of every cell when it went red if it is red now; `changes` is None where nobody posts any."""

    baselines: Mapping[Key, Baseline] = field(default_factory=dict)
    began: Mapping[Key, Onset] = field(default_factory=dict)
    changes: Sequence[Change] | None = None

    def to_json(self, cells: Collection[Key]) -> dict[str, Any]:
        """What is known of these cells, for a recording: the verdict rests on it."""
        return {
            "baselines": [
                {
                    "agent": agent,
                    "layer": layer,
                    "rate": round(known.rate, 4),
                    "ms_p50": known.ms_p50,
                    "ms_p95": known.ms_p95,
                    "n": known.n,
                    "since": known.since.isoformat(),
                }
                for (agent, layer), known in sorted(self.baselines.items())
                if (agent, layer) in cells
            ],
            "began": [
                {"agent": agent, "layer": layer, "from": _iso(onset.after), "to": onset.by.isoformat()}
                for (agent, layer), onset in sorted(self.began.items())
                if (agent, layer) in cells
            ],
            "changes": None if self.changes is None else [c.to_json() for c in self.changes],
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> History:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError."""
        changes = row.get("changes")
        return cls(
            baselines={
                (b["agent"], b["layer"]): Baseline(
                    rate=b["rate"],
                    ms_p50=b["ms_p50"],
                    ms_p95=b["ms_p95"],
                    n=b["n"],
                    since=datetime.fromisoformat(b["since"]),
                )
                for b in row["baselines"]
            },
            began={
                (o["agent"], o["layer"]): Onset(
                    after=datetime.fromisoformat(o["from"]) if o["from"] else None, by=datetime.fromisoformat(o["to"])
                )
                for o in row["began"]
            },
            changes=None if changes is None else [_change(c) for c in changes],
        )


NOTHING = History()


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _change(row: Mapping[str, Any]) -> Change:
    words = {name: str(row.get(name) or "") for name in ("title", "who", "env", "service", "url", "source")}
    return Change(at=datetime.fromisoformat(row["at"]), kind=ChangeKind(row["kind"]), **words)


def told(observations: Iterable[Observation]) -> Sequence[Change] | None:
    """Changes that probes of that kind found by themselves; None where none could ask anybody."""
    asked = [o for o in observations if o.layer == "changes" and o.ok]
    found = []
    for row in [row for o in asked for row in o.detail.get("changes") or ()]:
        with suppress(KeyError, TypeError, ValueError):
            change = _change(row)
            found += [change] if change.at.tzinfo else []
    return found if asked else None


def recall(
    samples: Sequence[Sample],
    *,
    now: datetime,
    until: datetime,
    even: Sequence[Sample] | None = None,
    changes: Sequence[Change] | None = None,
) -> History:
    """From the samples of patrols. What came after `until` is not normal and makes no baseline.

    `samples` may be denser where they are newer; `even` are those spread evenly over the time, for baselines.
    """
    return History(
        baselines=baselines(samples if even is None else even, until=until),
        began={key: began(mine, now) for key, mine in by_cell(samples).items()},
        changes=changes,
    )


def compared(cells: Sequence[Cell], known: Mapping[Key, Baseline]) -> dict[str, Any]:
    """One layer's times over a group against what is normal for each cell: {baseline_ms, slow, some_slow}.

    Only of cells that have both; {} where none has.
    """
    pairs = [(c.ms, known[c.agent, c.layer]) for c in cells if c.ms is not None and (c.agent, c.layer) in known]
    slow = [baseline.slow(ms) for ms, baseline in pairs]
    normal = [baseline.ms_p50 for _, baseline in pairs if baseline.ms_p50 is not None]
    if not normal:
        return {}
    told = [s for s in slow if s is not None]
    return {"baseline_ms": median(normal), "slow": all(told), "some_slow": any(told)}


def near_onset(changes: Iterable[Change], onset: Onset, envs: frozenset[str]) -> Sequence[Change]:
    """Changes that may have begun it: in the hour before, and in an environment that is red; newest first."""
    near = [c for c in changes if onset.near(c.at, BEFORE_ONSET) and (not c.env or not envs or c.env in envs)]
    return sorted(near, key=lambda c: (c.at, c.title), reverse=True)


def changed(changes: Sequence[Change], onset: Onset) -> dict[str, Any]:
    """{deploys, permissions, configs, others, nearest_minutes} of changes near the onset, newest first."""
    kinds = Counter(c.kind for c in changes)
    counts: dict[str, Any] = {
        "deploys": kinds[ChangeKind.DEPLOY],
        "permissions": kinds[ChangeKind.PERMISSION],
        "configs": kinds[ChangeKind.CONFIG],
        "others": kinds[ChangeKind.OTHER],
    }
    if changes:
        counts["nearest_minutes"] = (onset.by - changes[0].at).total_seconds() / 60
    return counts


TIMING_FIELDS: Mapping[str, type] = {"baseline_ms": float, "slow": bool, "some_slow": bool}
CHANGE_FIELDS: Mapping[str, type] = {
    "deploys": int,
    "permissions": int,
    "configs": int,
    "others": int,
    "nearest_minutes": float,
}
"""The vocabulary rules may use, for `playbook check`."""
