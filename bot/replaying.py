"""`warroom replay`: past nights judged again, from files."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bot.adapters.playbooks import load_hypotheses
from bot.app.plain import grid
from bot.app.resources import data_folder
from bot.diagnosis.hypothesis import Hypothesis
from bot.diagnosis.replay import Recording, brier, read, sensitivity
from bot.domain.errors import ConfigError
from bot.domain.text import percent

SAME, DIFFERENT = 0, 1


def replay(files: Sequence[Path], *, playbooks: Path | None, deep: bool, as_json: bool) -> int:
    """Judge every file and print one table, or one JSON document. Raises ConfigError, PlaybookError."""
    hypotheses = load_hypotheses(playbooks or data_folder("playbooks"))
    rows = [_row(load(path), hypotheses, deep=deep) for path in files]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _show(rows, deep=deep)
    return DIFFERENT if any(not row["same"] or row.get("wrong") for row in rows) else SAME


def load(path: Path) -> Recording:
    """A recording from a file, which may be compressed (.json.gz). Raises ConfigError."""
    try:
        raw = path.read_bytes()
        return read(path.name.partition(".")[0], json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (KeyError, TypeError, ValueError, AttributeError, EOFError, zlib.error) as exc:
        raise ConfigError(f"{path}: not a diag document ({type(exc).__name__}: {exc})") from exc


def _row(night: Recording, hypotheses: Sequence[Hypothesis], *, deep: bool) -> dict[str, Any]:
    verdict = night.judge(hypotheses)
    wanted = night.truth
    row: dict[str, Any] = {
        "night": night.name,
        "verdict": list(verdict.ids),
        "share": round(verdict.share, 4),
        "expected": list(wanted),
        "same": set(verdict.ids) == set(wanted),
    }
    if night.expected:
        row["brier"] = round(brier(verdict, night.expected), 4)
    if deep:
        cases = list(sensitivity(night, hypotheses))
        row["cases"] = len(cases)
        row["wrong"] = [{"without": c.without, "named": c.wrong, "share": round(c.share, 4)} for c in cases if c.wrong]
    return row


def _show(rows: Sequence[dict[str, Any]], *, deep: bool) -> None:
    table = [("night", "verdict", "share", "expected", "")]
    for row in rows:
        ids, wanted = " + ".join(row["verdict"]), " + ".join(row["expected"])
        table.append((row["night"], ids, percent(row["share"]), wanted, "" if row["same"] else "DIFFERENT"))
    print("\n".join(grid(table)))
    for row in rows if deep else ():
        for case in row["wrong"]:
            share = percent(case["share"])
            print(f"{row['night']}: without {case['without']}: {case['named']} {share}", file=sys.stderr)
    print(f"{sum(r['same'] for r in rows)} of {len(rows)} as expected")
    if deep:
        cases, wrong = sum(r["cases"] for r in rows), sum(len(r["wrong"]) for r in rows)
        print(f"sensitivity: {cases} cases with something left out, {wrong} of them confidently wrong")
