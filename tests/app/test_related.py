"""Several playbooks at once: one card, one DNS budget, and whether they fail from the same place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from bot.domain.failure import Failure
from bot.domain.incident import EntryKind
from bot.domain.probe import Agent, ProbeRequest
from tests.diagnosis import nights
from tests.transcript import Night, a_night


async def document(night: Night) -> dict[str, Any]:
    async with night.parts.store.begin() as tx:
        run = await tx.runs.latest(room="console:main")
    assert run is not None
    assert run.document is not None
    return dict(run.document)


async def test_both_products_of_a_vendor_fail_from_the_same_place(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        assert await night.types("/diag vendor:tencent") is None
        shown = night.shows()
        assert "2 of 2 tencent products fail from the same place (blue)" in shown
        assert shown.count("most likely: DNS of VPC blue is rate-limited by the provider") >= 2
        assert "Do now: stop or move" in shown
        assert "tencent 的 2 个产品里 2 个异常，都在同一处（blue）" in night.shows(lang="zh")
        found = await document(night)
        assert found["playbook"] == "vendor:tencent"
        assert found["verdict"] == ["vpc_dns_rate_limited"]
        assert [d["playbook"] for d in found["related"]] == ["cos", "sms"]
        assert [d["verdict"] for d in found["related"]] == [["vpc_dns_rate_limited"]] * 2
        kinds = [e.kind for e in await night.timeline()]
        assert kinds == [EntryKind.COMMAND, EntryKind.VERDICT]


async def test_together_they_ask_no_resolver_more_than_one_alone_may(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/diag all")
        vpcs = {a.name: a.vpc for a in nights.agents()}
        tries: Counter[str] = Counter()
        fastest: Counter[str] = Counter()
        for r in night.agents.asked:
            if r.layer in ("dns_host", "dns_vpc", "dns_vpc_tcp", "control_dns") and vpcs[r.agent]:
                count, spacing = int(r.params["tries"]), int(r.params["spacing_ms"])
                tries[vpcs[r.agent]] += count
                if "part" not in r.id or "part0" in r.id:
                    fastest[vpcs[r.agent]] += round(1000 * 1000 / max(1, spacing))
        assert max(tries.values()) <= 200
        assert max(fastest.values()) <= 20_000  # thousandths of a query each second


def sms_only(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.API_DENIED) if request.layer == "api_signed" else None


async def test_one_product_alone_and_all_fine_and_somebody_missing(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = sms_only
        await night.types("/diag vendor:tencent")
        assert "1 of 2 tencent products fails" in night.shows()
        night.rule = nights.healthy
        await night.types("/diag all")
        assert "all 2 services are fine" in night.shows()
    (tmp_path / "x").mkdir()
    async with a_night(tmp_path / "x", who=nights.lost("west-vm")) as night:
        await night.types("/diag all")
        assert "none of 2 services fails, 2 not fully seen" in night.shows()


async def test_after_several_were_asked_watch_goes_with_the_surest_that_fails(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = sms_only
        await night.types("/diag vendor:tencent")
        assert await night.types("/watch") is None
        await night.until("red")
        async with night.parts.store.begin() as tx:
            assert [w.playbook for w in await tx.watches.list()] == ["sms"]


async def test_an_unknown_vendor_is_named_with_those_there_are(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        error = await night.types("/diag vendor:tencnt")
        assert error is not None
        assert error.code == "unknown_vendor"
        assert 'vendor "tencnt" not found; did you mean "tencent"? there are: tencent' in night.shows()


async def test_the_api_takes_a_group_as_well(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        run_id = await night.service.diag(playbook="vendor:tencent", room="console:main", user="api")
        run = await night.service.run(run_id, wait_s=20)
        assert run is not None
        assert run.document is not None
        assert len(run.document["related"]) == 2
        assert run.playbook == "vendor:tencent"
