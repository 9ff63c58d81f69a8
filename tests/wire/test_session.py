from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.domain.errors import FrameError
from bot.domain.probe import Outcome
from bot.wire.frames import MAX_FRAME, Frame, Result, Status
from bot.wire.session import Session
from tests.wire.strategies import frames

DOWN, UP, OTHER = b"d" * 32, b"u" * 32, b"o" * 32
CI = os.environ.get("CI") == "true"
many = settings(max_examples=2000 if CI else 300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
some = settings(many, max_examples=500 if CI else 150)


def ends() -> tuple[Session, Session]:
    """The hub's end and the agent's."""
    return Session(outbound=DOWN, inbound=UP), Session(outbound=UP, inbound=DOWN)


def said(number: int) -> Status:
    return Status(state=f"said {number}")


def refusal(end: Session, text: str) -> str:
    with pytest.raises(FrameError) as caught:
        end.open(text)
    return str(caught.value)


@some
@given(st.lists(frames, max_size=3))
def test_what_one_side_seals_the_other_opens_in_order_and_both_ways(sent: list[Frame]) -> None:
    hub, agent = ends()
    for frame in sent:
        assert agent.open(hub.seal(frame)) == frame
        assert hub.open(agent.seal(frame)) == frame


@many
@given(st.text())
@example("")
@example("  ")
@example("1")
@example("1 ")
@example("١ x {}")
@example("9" * 30 + " x {}")
@example("1 é {}")
@example("1 x \ud800")
@example("1 x " + "[" * 100_000)
@example("-1 x {}")
def test_arbitrary_text_is_refused_and_moves_nothing(noise: str) -> None:
    hub, agent = ends()
    with contextlib.suppress(FrameError):
        agent.open(noise)
        raise AssertionError(f"{noise!r} was taken")
    assert agent.open(hub.seal(said(1))) == said(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("said 1", "said 2"),
        lambda text: text.replace("1 ", "2 ", 1),
        lambda text: text + " ",
        lambda text: text[:-1],
        lambda text: text.rpartition(" ")[0],
        lambda text: text.replace("=", "", 1),
        lambda text: text.upper(),
    ],
    ids=["body", "number", "longer", "shorter", "no body", "cut seal", "other case"],
)
def test_a_frame_of_which_anything_was_changed_is_refused(change: Callable[[str], str]) -> None:
    hub, agent = ends()
    text = hub.seal(said(1))
    assert change(text) != text
    refusal(agent, change(text))
    assert agent.open(text) == said(1)


@some
@given(frames, st.data())
def test_a_frame_cut_anywhere_is_refused(frame: Frame, data: st.DataObject) -> None:
    hub, agent = ends()
    text = hub.seal(frame)
    refusal(agent, text[: data.draw(st.integers(0, len(text) - 1))])


def test_a_frame_counts_once() -> None:
    hub, agent = ends()
    text = hub.seal(said(1))
    agent.open(text)
    assert "frame 1 was heard before" in refusal(agent, text)


def test_a_frame_that_comes_after_a_later_one_is_refused_and_a_lost_one_stops_nothing() -> None:
    hub, agent = ends()
    first, second, _lost, fourth = (hub.seal(said(n)) for n in range(1, 5))
    assert agent.open(second) == said(2)
    assert "heard before" in refusal(agent, first)
    assert agent.open(fourth) == said(4)


def test_a_frame_sent_back_to_who_said_it_is_refused() -> None:
    hub, agent = ends()
    assert "seal does not verify" in refusal(hub, hub.seal(said(1)))
    assert "seal does not verify" in refusal(agent, agent.seal(said(1)))


def test_a_frame_of_another_session_is_refused() -> None:
    _, agent = ends()
    elsewhere = Session(outbound=OTHER, inbound=UP)
    assert "seal does not verify" in refusal(agent, elsewhere.seal(said(1)))


def test_a_frame_too_big_is_refused_unread_and_never_sent() -> None:
    hub, agent = ends()
    big = Result(
        job="j", nonce="n", outcome=Outcome(ok=True, detail={"body": "诊" * (MAX_FRAME // 3)}), at=1.0, took_ms=1.0
    )
    with pytest.raises(FrameError, match=f"at most {MAX_FRAME} bytes may be sent"):
        hub.seal(big)
    assert f"at most {MAX_FRAME}" in refusal(agent, "1 " * MAX_FRAME)


def test_a_frame_that_could_not_be_sealed_costs_no_number() -> None:
    hub, agent = ends()
    with pytest.raises(FrameError, match="JSON cannot carry"):
        hub.seal(Result(job="j", nonce="n", outcome=Outcome(ok=True, detail={"x": math.nan}), at=1.0, took_ms=1.0))
    assert hub.seal(said(1)).startswith("1 ")
    assert agent.open(hub.seal(said(2))) == said(2)
