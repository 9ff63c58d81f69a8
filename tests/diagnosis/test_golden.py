"""Nights that the lab has recorded, judged again: the right verdict, and never a wrong one with less to go by.

`warroom lab run tests/lab/scenarios/*.yaml --record FOLDER` records them anew; here they lie compressed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.diagnosis.replay import brier, sensitivity
from bot.replaying import load
from tests.diagnosis.nights import HYPOTHESES

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.json.gz"))
NIGHTS = {path.name.partition(".")[0]: path for path in GOLDEN}
SCENARIOS = Path(__file__).parents[1] / "lab" / "scenarios"


def test_every_scenario_has_its_recording() -> None:
    assert {path.stem for path in SCENARIOS.glob("*.yaml")} == set(NIGHTS)
    assert len(NIGHTS) >= 60


@pytest.mark.parametrize("night", NIGHTS)
def test_a_recorded_night_is_judged_right(night: str) -> None:
    recording = load(NIGHTS[night])
    verdict = recording.judge(HYPOTHESES)
    assert set(verdict.ids) == set(recording.expected), {r.hypothesis.id: round(r.share, 2) for r in verdict.ranked[:4]}
    assert brier(verdict, recording.expected) < 0.5


@pytest.mark.parametrize("night", NIGHTS)
def test_with_a_probe_kind_or_a_vantage_point_less_no_wrong_cause_is_believed(night: str) -> None:
    wrong = [(c.without, c.wrong, round(c.share, 2)) for c in sensitivity(load(NIGHTS[night]), HYPOTHESES) if c.wrong]
    assert wrong == []


def test_the_shares_are_honest_over_all_nights() -> None:
    scores = [brier(load(path).judge(HYPOTHESES), load(path).expected) for path in GOLDEN]
    assert sum(scores) / len(scores) <= 0.08
