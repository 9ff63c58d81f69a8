"""How observations are counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.diagnosis.cells import Cell, by_service, cells
from bot.diagnosis.investigation import merge
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Observation


def seen(layer: str, *, kind: str = "dns", ok: bool = True, **more: Any) -> Observation:
    detail = more.pop("detail", {})
    return Observation(
        probe=f"{kind}/x",
        kind=kind,
        layer=layer,
        target="x",
        agent="a",
        region="r",
        vantage="vm",
        ok=ok,
        detail=detail,
        **more,
    )


def one(*observations: Observation) -> dict[str, Cell]:
    return {c.layer: c for c in cells(observations)}


def test_two_of_twenty_is_lossy_and_neither_up_nor_down() -> None:
    cell = one(seen("dns_vpc", ok=False, failure=Failure.DNS_TIMEOUT, success_rate=0.1, detail={"tries": 20, "ok": 2}))[
        "dns_vpc"
    ]
    assert cell.state == "lossy"
    low, high = cell.interval
    assert 0.02 < low < 0.1 < high < 0.31


def test_one_stray_datagram_of_ten_is_no_trouble_and_two_are() -> None:
    def dns(ok: int, failure: str = "dns_timeout", tries: int = 10) -> str:
        lost = {"tries": tries, "ok": ok, "failures": {failure: tries - ok}}
        return one(seen("dns_public", ok=False, success_rate=ok / tries, detail=lost))["dns_public"].state

    assert [dns(9), dns(8), dns(5, tries=6)] == ["up", "lossy", "lossy"]
    assert dns(9, "dns_servfail") == "lossy", "an answer that says no is no accident of the network"


def test_parts_of_one_series_are_pooled() -> None:
    parts = [
        seen(
            "dns_vpc",
            success_rate=0.5,
            ok=False,
            failure=Failure.DNS_TIMEOUT,
            detail={"tries": 2, "ok": 1, "failures": {"dns_timeout": 1}},
        ),
        seen("dns_vpc", success_rate=1.0, detail={"tries": 8, "ok": 8}),
    ]
    assert (one(*parts)["dns_vpc"].ok, one(*parts)["dns_vpc"].tries) == (9, 10)
    (joined,) = merge(parts)
    assert joined.success_rate == 0.9
    assert joined.failure is Failure.DNS_TIMEOUT


def test_a_pinned_http_probe_tells_of_tcp_and_tls_as_well() -> None:
    found = one(
        seen(
            "http",
            kind="http",
            ok=False,
            failure=Failure.TLS_EXPIRED,
            success_rate=0.0,
            detail={"tries": 4, "ok": 0, "failures": {"tls_expired": 3, "tcp_timeout": 1}},
        )
    )
    assert (found["tcp"].ok, found["tcp"].tries) == (3, 4)
    assert (found["tls"].ok, found["tls"].tries) == (0, 3)
    assert "http" not in found  # nobody got that far: not measured, not red


def test_the_agents_own_trouble_is_never_the_targets() -> None:
    cell = one(seen("tcp", kind="tcp", ok=False, failure=Failure.AGENT_ERROR, fault_of=FaultOf.AGENT))["tcp"]
    assert (cell.state, cell.red) == ("missing", False)
    cell = one(seen("tcp", kind="tcp", ok=False, failure=Failure.POLICY_DENIED, fault_of=FaultOf.POLICY))["tcp"]
    assert (cell.state, cell.red) == ("denied", False)


def test_the_order_of_observations_does_not_matter() -> None:
    rows = [
        seen("dns_vpc", detail={"tries": 2, "ok": 2}),
        seen("tcp", kind="tcp"),
        seen("dns_vpc", detail={"tries": 8, "ok": 8}),
    ]
    assert cells(rows) == cells(rows[::-1])


def test_layers_outside_the_matrix_are_no_cells() -> None:
    assert not cells([seen("learn"), seen("dns_top", kind="dns_top")])


# --- one service among several ------------------------------------------------------------------------------------


def asked(url: str, ok: int, *, address: str = "", layer: str = "by_name", **detail: Any) -> Observation:
    given = {"tries": 4, "ok": ok, "failures": {"http_status": 4 - ok} if ok < 4 else {}, **detail}
    if address:
        given["address"] = address
    bad = {"failure": Failure.HTTP_STATUS} if ok < 4 else {}
    found = seen(layer, kind="http", ok=ok == 4, success_rate=ok / 4, detail=given, **bad)
    return replace(found, target=url, probe=f"http/{url}")


def test_a_service_that_works_hides_none_that_does_not() -> None:
    both = (asked("https://pay.example", 0), asked("https://sms.example", 4))
    assert [(c.service, c.state) for c in by_service(both)] == [("pay.example", "down"), ("sms.example", "up")]
    assert [(c.service, c.state) for c in cells(both)] == [("", "lossy")]


def test_a_vantage_points_row_shows_the_address_it_is_told_itself() -> None:
    told = replace(seen("dns_vpc", detail={"tries": 1, "ok": 1, "answers": ["203.0.113.7"]}), target="pay.example")
    mine = asked("https://pay.example", 4, address="203.0.113.7", layer="http")
    others = asked("https://pay.example", 0, address="203.0.113.9", layer="http")
    assert one(told, mine, others)["http"].state == "up"
    assert one(told, others)["http"].state == "down", "where its own was not tried, what was tried counts"
    assert one(mine, others)["http"].tries == 8, "where it is told nothing, all count"


def test_a_try_that_took_a_retransmission_longer_has_lost_something() -> None:
    took = [3.1, 4.0, 210.0, 1009.0]
    cell = one(asked("https://pay.example", 4, each=[{"ms": ms, "failure": None} for ms in took]))["by_name"]
    assert (cell.state, cell.stalls, cell.lost) == ("up", 2, 2)


def test_a_probe_whose_own_clock_was_late_blames_no_network() -> None:
    late = replace(asked("https://pay.example", 4, each=[{"ms": 3.0}, {"ms": 230.0}]), lag_ms=120.0)
    assert one(late)["by_name"].lost == 0


def test_a_databases_probe_tells_of_connecting_as_well() -> None:
    failures = {"dns_timeout": 1, "tcp_refused": 2, "db_too_many_connections": 1}
    probe = seen("db", kind="redis", ok=False, success_rate=0.2, detail={"tries": 5, "ok": 1, "failures": failures})
    found = one(replace(probe, failure=Failure.TCP_REFUSED))
    assert (found["db"].ok, found["db"].tries) == (1, 5)
    assert (found["tcp"].ok, found["tcp"].tries) == (2, 4)
