"""Past incidents with what is counted of them."""

from __future__ import annotations

from datetime import timedelta

from bot.app.ports import Store
from bot.domain.incident import EntryKind
from bot.domain.page import CallMade, CallState
from tests.store.samples import ONSET, after, incident, note, run

DAY = timedelta(days=1)


async def test_a_night_has_its_first_acknowledgement_the_cause_that_stands_and_its_calls(store: Store) -> None:
    said = (
        ("verdict", 1, {"verdict": ["inconclusive"]}),
        ("verdict", 2, {"verdict": ["coredns_overload"]}),
        ("verdict", 3, {"verdict": ["vpc_dns_rate_limited"]}),
        ("ack", 4, {}),
        ("verdict", 5, {"verdict": ["vpc_dns_rate_limited"]}),
        ("ack", 6, {}),
        ("verdict", 7, {"verdict": ["healthy"]}),
    )
    async with store.begin() as tx:
        one = await tx.incidents.open(incident())
        for kind, minute, data in said:
            name = f"run-{minute}"
            if kind == "verdict":
                # Asked for before there was an incident, and attached to it later: the entry names only its run.
                await tx.runs.save(run(name, incident=one.id))
            about = {"run": name} if kind == "verdict" else {"incident": one.id}
            await tx.timeline.append(note("said", kind=EntryKind(kind), at=after(minute), data=data, **about))
        call = CallMade(
            key=f"{one.id}:1:lin:1",
            incident=one.id,
            step=1,
            person="lin",
            ways=("phone",),
            state=CallState.SENT,
            queued_at=ONSET,
            sent_at=ONSET,
        )
        await tx.calls.add(call)
    async with store.begin() as tx:
        (night,) = await tx.nights.opened(since=ONSET, until=ONSET + DAY)
    assert night.incident == one
    assert (night.acked_at, night.diagnosed_at) == (after(4), after(3))
    assert night.verdict == ("vpc_dns_rate_limited",)
    assert night.calls == [call]


async def test_only_the_period_counts_and_what_was_merged_counts_once(store: Store) -> None:
    async with store.begin() as tx:
        for opened_at, merged in ((ONSET - DAY, None), (ONSET, None), (ONSET, "INC-2"), (ONSET + DAY, None)):
            await tx.incidents.open(incident(opened_at=opened_at, merged_into=merged))
    async with store.begin() as tx:
        assert [n.incident.id for n in await tx.nights.opened(since=ONSET, until=ONSET + DAY)] == ["INC-2"]
