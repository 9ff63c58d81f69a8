"""How observations are counted."""

from __future__ import annotations

from typing import Any

from bot.diagnosis.cells import Cell, cells
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
