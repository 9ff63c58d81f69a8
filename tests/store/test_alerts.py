"""Alerts are kept a delivery at a time: one row for each key of a source, the last word on it."""

from __future__ import annotations

from dataclasses import replace

from bot.app.ports import Store
from bot.domain.alert import Alert, AlertStatus, KeptAlert
from tests.store.samples import ONSET, after, incident

FIRST = Alert(
    source="prom",
    key="a",
    status=AlertStatus.FIRING,
    title="短信网关 is down",
    severity="sev1",
    at=ONSET,
    labels={"service": "sms"},
    playbook="sms",
    url="https://prom.example/g",
)


def kept(key: str, *, source: str = "prom", minute: float = 0) -> KeptAlert:
    alert = replace(FIRST, key=key, source=source)
    return KeptAlert(alert=alert, group="g", incident="INC-1", first_at=ONSET, last_at=after(minute))


async def test_a_delivery_reads_back_as_it_was_kept_and_the_next_one_replaces_what_it_names(store: Store) -> None:
    async with store.begin() as tx:
        await tx.incidents.open(incident(id="INC-1"))
        await tx.alerts.put([kept("a"), kept("b", minute=1), kept("a", source="grafana")])
    over = replace(kept("a", minute=9), times=2, alert=replace(FIRST, status=AlertStatus.RESOLVED, severity="sev3"))
    async with store.begin() as tx:
        assert await tx.alerts.get("prom", ["a", "b", "c"]) == {"a": kept("a"), "b": kept("b", minute=1)}
        await tx.alerts.put([over, kept("c", minute=2)])
    async with store.begin() as tx:
        assert await tx.alerts.get("prom", ["a"]) == {"a": over}
        assert [(k.alert.source, k.alert.key) for k in await tx.alerts.of("INC-1")] == [
            ("prom", "a"),
            ("prom", "c"),
            ("prom", "b"),
            ("grafana", "a"),
        ]


async def test_a_delivery_of_a_thousand_is_kept_and_one_of_none_is_no_error(store: Store) -> None:
    storm = [kept(f"{n:04}") for n in range(1000)]
    async with store.begin() as tx:
        await tx.incidents.open(incident(id="INC-1"))
        await tx.alerts.put([])
        await tx.alerts.put(storm)
        assert await tx.alerts.of("INC-1") == storm
