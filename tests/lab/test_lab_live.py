"""Real networks, real servers, real agents: what the lab builds is what the scenario says, and it is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab_runs import SCENARIOS, need_namespaces, play

from bot.domain.probe import Observation

pytestmark = [pytest.mark.alone, pytest.mark.root, pytest.mark.timeout(240)]

NIGHTS = {
    "quiet-tuesday": "healthy",
    "crawler-eats-the-limit": "vpc_dns_rate_limited",
    "resolver-fell-silent": "resolver_down",
    "poisoned-name": "dns_wrong_answer",
    "coredns-drowns": "coredns_overload",
    "security-group-typo": "firewall_block",
    "vendor-5xx": "vendor_outage_global",
    "certificate-ran-out": "certificate_expired",
    "key-lost-its-rights": "permission_revoked",
    "lossy-way-out": "region_egress_loss",
    "limit-and-revoked-key": "vpc_dns_rate_limited+permission_revoked",
    "silent-region-is-no-proof": "inconclusive",
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All nights in one go, two at a time, recorded."""
    need_namespaces()
    folder = tmp_path_factory.mktemp("golden")
    files = [str(SCENARIOS / f"{name}.yaml") for name in NIGHTS]
    _, document, err = play(*files, "--jobs", "2", "--keep-going", "--record", str(folder), timeout_s=230)
    assert document["failed"] == {}, err
    return {"folder": folder, **{run["scenario"]["scenario"]: run for run in document["runs"]}}


@pytest.mark.parametrize("name", NIGHTS)
def test_the_night_gets_its_right_name_within_20_seconds(played: dict[str, Any], name: str) -> None:
    run = played[name]
    assert "+".join(sorted(run["diag"]["verdict"])) == "+".join(sorted(NIGHTS[name].split("+")))
    assert run["right"]
    assert run["diag"]["took_s"] <= 20
    assert run["busiest_qps"] <= 20


def test_the_crawler_is_named_by_its_address(played: dict[str, Any]) -> None:
    assert played["crawler-eats-the-limit"]["diag"]["culprit"]["address"] == "10.77.9.33"


def test_a_limit_loses_udp_and_leaves_tcp_and_other_resolvers_alone(played: dict[str, Any]) -> None:
    rows = {(o["agent"], o["layer"]): o for o in played["crawler-eats-the-limit"]["diag"]["observations"]}
    assert rows["lagos-vm", "dns_vpc"]["success_rate"] < 0.7
    assert rows["lagos-vm", "dns_vpc_tcp"]["ok"]
    assert rows["lagos-vm", "dns_public"]["ok"]
    assert rows["lagos-vm2", "dns_vpc"]["ok"]


def test_a_recording_holds_what_a_replay_needs(played: dict[str, Any]) -> None:
    for name in NIGHTS:
        golden = json.loads((Path(played["folder"]) / f"{name}.json").read_text())
        seen = [Observation.from_json(row) for row in golden["observations"]]
        assert {o.agent for o in seen} <= {a["name"] for a in golden["agents"]}
        assert golden["expect"]["verdict"] == NIGHTS[name].split("+")
        assert golden["verdict"] == played[name]["diag"]["verdict"]
        assert set(golden["verdict"]) <= set(golden["shares"])


def test_no_secret_of_the_lab_is_in_what_it_prints(played: dict[str, Any]) -> None:
    assert "AKID" not in json.dumps({name: played[name] for name in NIGHTS})
