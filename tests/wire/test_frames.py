from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.domain.errors import FrameError
from bot.domain.probe import ProbeRequest
from bot.wire.frames import CLOCK_TOLERANCE_S, MAX_LIFE_S, Job, check_job

NOW = 1_800_000_000.0


def job(**changes: Any) -> Job:
    request = ProbeRequest(id="r1", probe="tcp/api", kind="tcp", layer="tcp", target="api", agent="sh-vm")
    plain = {"id": "j1", "audience": "sh-vm", "nonce": "n1", "issued": NOW, "expires": NOW + 60, "request": request}
    return Job(**{**plain, **changes})


def refused_job(frame: Job, *, now: float = NOW, seen: Mapping[str, float] | None = None) -> str:
    with pytest.raises(FrameError) as caught:
        check_job(frame, audience="sh-vm", now=now, seen=seen or {})
    return str(caught.value)


def test_a_job_is_valid_for_its_life_and_the_difference_two_clocks_may_have() -> None:
    for now in (NOW - CLOCK_TOLERANCE_S, NOW, NOW + 60 + CLOCK_TOLERANCE_S):
        check_job(job(), audience="sh-vm", now=now, seen={})


def test_a_job_that_must_not_run_is_refused_with_its_reason() -> None:
    assert "addressed to 'gz-vm', not to 'sh-vm'" in refused_job(job(audience="gz-vm"))
    assert "live longer than 60 s" in refused_job(job(expires=NOW + MAX_LIFE_S + 1))
    assert "expired 91 s ago" in refused_job(job(), now=NOW + 60 + 91)
    assert "not valid for another 31 s" in refused_job(job(), now=NOW - 31)
    assert "already run" in refused_job(job(), seen={"n1": NOW + 60})
