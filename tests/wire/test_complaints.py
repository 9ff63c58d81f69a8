from __future__ import annotations

import logging

import pytest

from bot.wire.complaints import WINDOW_S, Complaints


def test_of_many_warnings_a_few_are_said_and_how_many_were_not_is_said_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]
    complaints = Complaints(logging.getLogger("warroom.test"), most=3, now=lambda: clock[0])
    for number in range(1000):
        complaints.warn("frame %d is forged", number)
    assert [r.getMessage() for r in caplog.records] == [f"frame {n} is forged" for n in range(3)]
    caplog.clear()
    clock[0] = WINDOW_S
    complaints.warn("frame %d is forged", 1000)
    assert [r.getMessage() for r in caplog.records] == [
        "997 more warnings like the last were left out",
        "frame 1000 is forged",
    ]
