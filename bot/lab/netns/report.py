"""The score table and the JSON document of `warroom lab run`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.lab.netns.judge import Judgement, Score, score

HEAD = ("scenario", "half", "expected", "verdict", "share", "2nd", "brier", "s", "q/s", "")
ROWS: Sequence[tuple[str, Callable[[Score], str]]] = (
    ("runs", lambda s: f"{s.runs}"),
    ("top-1 right", lambda s: f"{s.top1:.1%}"),
    ("right within two", lambda s: f"{s.within_two:.1%}"),
    ("healthy named healthy", lambda s: f"{s.healthy_right}/{s.healthy}"),
    ("false alarms on healthy", lambda s: f"{s.false_alarms}"),
    ("confidently wrong (> 0.8)", lambda s: f"{s.confidently_wrong}"),
    ("Brier score", lambda s: f"{s.brier:.3f}"),
    ("median / worst seconds", lambda s: f"{s.median_s:.1f} / {s.worst_s:.1f}"),
    ("most queries a minute at a resolver", lambda s: f"{s.queries_per_minute:.0f}"),
)


def halves(runs: Sequence[Judgement]) -> Mapping[str, Score]:
    """Scores of all runs and of each half that has any."""
    groups = {
        "all": list(runs),
        "tuning": [r for r in runs if r.half == "tuning"],
        "held_out": [r for r in runs if r.half == "held_out"],
    }
    return {name: score(group) for name, group in groups.items() if group}


def line(run: Judgement) -> tuple[str, ...]:
    """One run as a row under HEAD."""
    shares = [*run.shares.values(), 0.0, 0.0]
    marks = ["" if run.right else "culprit" if run.verdict and not run.culprit_right else "WRONG"]
    marks += ["false alarm"] * run.false_alarm + ["harmful"] * bool(run.harmful)
    marks += ["sure of it"] * bool(run.confidently_wrong)
    return (
        run.scenario,
        run.half.replace("_", " "),
        "+".join(run.expected),
        "+".join(run.verdict),
        f"{shares[0]:.2f}",
        f"{shares[1]:.2f}",
        f"{run.brier:.3f}",
        f"{run.took_s:.1f}",
        f"{run.busiest_qps:.1f}",
        ", ".join(filter(None, marks)),
    )


def text(runs: Sequence[Judgement]) -> str:
    """Both tables."""
    if not runs:
        return "no scenario was played to its end"
    scores = halves(runs)
    names = list(scores)
    below = [("", *(name.replace("_", " ") for name in names))]
    below += [(title, *(show(scores[name]) for name in names)) for title, show in ROWS]
    return f"{_table([HEAD, *map(line, runs)])}\n\n{_table(below)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def document(rows: Sequence[Mapping[str, Any]], runs: Sequence[Judgement], failed: Mapping[str, str]) -> dict[str, Any]:
    """One scenario is its own row; several come as a list with their scores."""
    if len(rows) == 1 and not failed:
        return dict(rows[0])
    return {
        "runs": list(rows),
        "failed": dict(failed),
        "score": {name: one.to_json() for name, one in halves(runs).items()} if runs else {},
    }
