"""Many spaced tries of one thing, and the one Outcome they add up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, TypeVar

from bot.domain.failure import Failure, FaultOf, fault_of
from bot.domain.probe import UP_RATE, Json, Outcome, wilson

T = TypeVar("T")
MAX_EACH = 60
"""Tries shown one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """One try. `timings_ms` are the phases it completed, `spent_ms` the time in the phase it failed in."""

    failure: Failure | None = None
    fault: FaultOf | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    spent_ms: Mapping[str, float] = field(default_factory=dict)
    row: Mapping[str, Json] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return self.failure is None

    @property
    def own(self) -> bool:
        """Whether it says nothing of the target, for the agent itself was at fault."""
        return self.failure is not None and (self.fault or fault_of(self.failure)) is FaultOf.AGENT


async def spaced(count: int, spacing_s: float, one: Callable[[int], Awaitable[T]], *, start_s: float = 0.0) -> list[T]:
    """Run `one(i)` at start_s + i * spacing_s for each i; slow tries overlap. The first exception ends them all."""
    if count == 1:
        return [await _later(start_s, one, 0)]
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_later(start_s + i * spacing_s, one, i)) for i in range(count)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _later(delay_s: float, one: Callable[[int], Awaitable[T]], index: int) -> T:
    if delay_s > 0:
        await asyncio.sleep(delay_s)
    return await one(index)


def summarise(tries: Sequence[Try], **detail: Any) -> Outcome:
    """One Outcome for all tries; `detail` is added to tries, ok, low, high, failures and each.

    Tries that the agent itself spoiled are left out of the count, unless there are no others.
    """
    measured = [t for t in tries if not t.own]
    spoiled = len(tries) - len(measured)
    counted = measured or list(tries)
    good = sum(t.ok for t in counted)
    low, high = wilson(good, len(counted))
    failures = Counter(t.failure.value for t in counted if t.failure)
    rate = good / len(counted) if counted else 0.0
    failure = None if rate >= UP_RATE else Failure(max(failures, key=lambda f: (failures[f], f)))
    return Outcome(
        ok=failure is None,
        failure=failure,
        fault_of=_fault(failure, counted),
        success_rate=round(rate, 4),
        timings_ms=timings(counted),
        detail={
            "tries": len(counted),
            "ok": good,
            "low": round(low, 4),
            "high": round(high, 4),
            "failures": dict(failures),
            **({"agent_errors": spoiled} if spoiled else {}),
            **detail,
            "each": [dict(t.row) for t in tries[:MAX_EACH]],
        },
    )


def _fault(failure: Failure | None, tries: Sequence[Try]) -> FaultOf | None:
    if failure is None:
        return None
    return next((t.fault for t in tries if t.failure is failure and t.fault), None) or fault_of(failure)


def timings(tries: Sequence[Try]) -> dict[str, float]:
    """Per phase the median over the tries that completed it, else over the time the others spent in it."""
    done: dict[str, list[float]] = {}
    spent: dict[str, list[float]] = {}
    for one in tries:
        for key, ms in one.timings_ms.items():
            done.setdefault(key, []).append(ms)
        for key, ms in one.spent_ms.items():
            spent.setdefault(key, []).append(ms)
    return {key: round(median(values), 3) for key, values in {**spent, **done}.items()}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
