"""What is normal survives outages and spikes; when trouble began is an interval, never a guess."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.diagnosis.baseline import CALM, FEWEST, WINDOW, Onset, baselines, began, onset
from bot.domain.patrol import Sample
from bot.testing.clock import ONSET

KEY = ("east-vm", "http")


def at(minute: float) -> datetime:
    return ONSET + timedelta(minutes=minute)


def sample(minute: float, ok: int = 2, *, tries: int = 2, ms: float | None = 20.0, agent: str = "east-vm") -> Sample:
    return Sample(at=at(minute), agent=agent, layer="http", tries=tries, ok=ok, ms=ms if ok else None)


def told(word: str, *, start: int = 0, agent: str = "east-vm") -> list[Sample]:
    """One sample a minute: "." is good, "x" fails, "-" is a round that did not happen."""
    return [sample(start + n, 0 if c == "x" else 2, agent=agent) for n, c in enumerate(word) if c != "-"]


NORMAL = st.lists(st.floats(10, 40), min_size=27, max_size=200)


@given(NORMAL, st.data())
def test_an_outage_of_a_third_of_the_time_moves_neither_rate_nor_times(times: list[float], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(times) - 1))
    last = min(len(times), first + len(times) // 3)
    worse = data.draw(st.sampled_from(["down", "slow"]))

    def seen(n: int, ms: float) -> Sample:
        if not first <= n < last:
            return sample(n, ms=ms)
        return sample(n, 0) if worse == "down" else sample(n, ms=30_000)

    found = baselines([seen(n, ms) for n, ms in enumerate(times)], until=at(1000))[KEY]
    assert found.rate == 1.0
    assert found.ms_p50 is not None
    assert found.ms_p95 is not None
    assert min(times) <= found.ms_p50 <= found.ms_p95 <= max(times)
    assert not found.slow(max(times))
    assert found.slow(3 * max(times) + 101)


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0.1, 5000)), min_size=FEWEST, max_size=120), st.randoms())
def test_a_baseline_lies_within_what_was_seen_in_whatever_order(rows: list[tuple[int, float]], random: Random) -> None:
    samples = [sample(n, ok, ms=ms) for n, (ok, ms) in enumerate(rows)]
    found = baselines(samples, until=at(1000))[KEY]
    assert 0 <= found.rate <= 1
    good = [s.ms for s in samples if s.ok == 2 and s.ms is not None]
    if good:
        assert found.ms_p50 is not None
        assert found.ms_p95 is not None
        assert min(good) <= found.ms_p50 <= max(good)
        assert min(good) <= found.ms_p95 <= max(good)
    else:
        assert found.slow(1e9) is None
    random.shuffle(samples)
    assert baselines(samples, until=at(1000))[KEY] == found


def test_too_few_samples_make_no_baseline() -> None:
    assert baselines(told("." * (FEWEST - 1)), until=at(1000)) == {}
    assert baselines(told("." * FEWEST), until=at(1000))[KEY].n == FEWEST


def test_only_the_window_before_the_end_counts() -> None:
    week = int(WINDOW.total_seconds() / 60)
    samples = told("x" * 30) + told("." * 30, start=week) + told("x" * 30, start=week + 60)
    found = baselines(samples, until=at(week + 59))[KEY]
    assert found.rate == 1.0
    assert found.n == 30


@pytest.mark.parametrize(
    ("word", "after", "by"),
    [
        ("..........xxx", 9, 10),
        ("..........xx.x", 9, 10),  # one good round in between was luck
        ("..........x.....", 15, 16),  # a blip that was over; red only now
        ("....----xxx", 3, 8),  # nobody looked for four minutes, and that is said
        ("xxxx", None, 0),  # it never was good as far as anybody knows
        ("..........", 9, 10),  # green until the last round, red now
        ("..xx", 1, 2),
        (".....xx....xx", 4, 5),  # four good rounds are not yet calm
        (".....xx.....xx", 11, 12),
    ],
)
def test_the_onset_lies_between_the_last_good_round_and_the_first_bad_one(
    word: str, after: int | None, by: int
) -> None:
    expected = Onset(after=None if after is None else at(after), by=at(by))
    assert began(told(word), at(len(word))) == expected
    assert onset(told(word), at(len(word)), {KEY}).overall == expected


@given(st.text("..x-", max_size=60), st.integers(CALM, 12), st.integers(1, 12))
def test_whatever_came_before_calm_does_not_move_the_onset(before: str, calm: int, bad: int) -> None:
    word = before + "." * calm + "x" * bad
    start = len(before) + calm
    assert began(told(word), at(len(word))) == Onset(after=at(start - 1), by=at(start))


@given(st.text(".x-", max_size=60))
def test_the_interval_is_ordered_and_never_reaches_into_the_future(word: str) -> None:
    found = began(told(word), at(len(word)))
    assert found.by <= at(len(word))
    assert found.after is None or found.after < found.by


def test_the_whole_began_when_most_cells_did() -> None:
    def cells(words: Sequence[str]) -> list[Sample]:
        return [s for n, word in enumerate(words) for s in told(word, agent=f"vm{n}")]

    chronic = "x" * 60
    early, late = "." * 30 + "x" * 30, "." * 31 + "x" * 29
    follower = "." * 55 + "x" * 5
    found = onset(cells([chronic, early, late, early, follower]), at(60))
    assert found.overall == Onset(after=at(29), by=at(30))
    assert found.cells["vm2", "http"] == Onset(after=at(30), by=at(31))
    assert onset(cells(["." * 60]), at(60)).overall is None
    assert onset([], at(60)).overall is None


def test_a_change_is_near_when_it_came_before_the_trouble_could_have_begun() -> None:
    found = Onset(after=at(100), by=at(110))
    hour = timedelta(hours=1)
    assert [found.near(at(m), hour) for m in (39, 40, 105, 110, 111)] == [False, True, True, True, False]
