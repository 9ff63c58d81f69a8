"""How it went over time at each vantage point."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.adapters.console.render import curve
from bot.app.postmortem.course import courses
from bot.domain.patrol import Round, Sample

SINCE = datetime(2026, 1, 15, 15, 0, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=10)


def seen(minute: int, *cells: tuple[str, int, float | None]) -> Round:
    at = SINCE + timedelta(minutes=minute)
    samples = [
        Sample(at=at, agent=agent, layer=f"l{n}", tries=10, ok=ok, ms=ms) for n, (agent, ok, ms) in enumerate(cells)
    ]
    return Round(playbook="sms", at=at, samples=tuple(samples))


def test_the_worst_vantage_point_comes_first_and_its_layers_are_taken_together() -> None:
    rounds = [
        seen(0, ("office", 10, 5.0), ("pod", 10, 8.0), ("pod", 10, 30.0)),
        seen(5, ("office", 10, 5.0), ("pod", 0, None), ("pod", 5, 40.0)),
    ]
    pod, office = courses(rounds, since=SINCE, until=UNTIL)
    assert (pod.agent, pod.worst, pod.slowest_ms) == ("pod", 0.25, 40.0)
    assert [(p.share, p.ms) for p in pod.points] == [(1.0, 30.0), (0.25, 40.0)]
    assert (office.agent, office.worst) == ("office", 1.0)


def test_one_round_is_no_course_and_what_was_never_heard_is_not_drawn_as_well() -> None:
    assert courses([seen(0, ("pod", 10, 5.0))], since=SINCE, until=UNTIL) == ()
    (silent,) = courses([seen(0, ("pod", 0, None)), seen(5, ("pod", 0, None))], since=SINCE, until=UNTIL)
    assert (silent.worst, silent.slowest_ms) == (0.0, None)
    assert curve(silent, "ms") == ""
    assert curve(silent, "share") == "M0.0 22.0 L50.0 22.0"


def test_a_gap_in_the_times_is_a_gap_in_the_line() -> None:
    rounds = [seen(0, ("pod", 10, 5.0)), seen(5, ("pod", 0, None)), seen(10, ("pod", 10, 10.0))]
    (pod,) = courses(rounds, since=SINCE, until=UNTIL)
    assert curve(pod, "ms") == "M0.0 12.0 M100.0 2.0"
