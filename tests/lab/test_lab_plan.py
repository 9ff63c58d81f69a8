"""What a scenario becomes before anything is built: addresses, cables, rules, resolvers. No root is needed."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from test_lab_scenarios import FILES, small

from bot.lab.netns import files, load
from bot.lab.netns.addresses import lay_out
from bot.lab.netns.effects import Effects, loss, table
from bot.lab.netns.layout import Layout
from bot.lab.netns.resolvers import config, resolvers
from bot.lab.netns.topology import wire

NIGHT = """
scenario: two-regions
about: for the tests of plans
regions:
  here:
    vpcs:
      main:
        network: 10.50.0.0/16
        resolver: 183.60.83.19
        vantages: [{kind: vm}, {kind: pod}]
        cluster: {name: kube, replicas: 3, nodes: 9}
      side: {vantages: [{kind: vm2}], resolver: 183.60.83.19}
  there: {vpcs: {away: {vantages: [{kind: vm}]}}}
outside: [{name: desk, region: home}]
services:
  sms: {host: sms.example.com, kind: tencent_api, address: {here: 203.0.113.10, there: 203.0.113.11}}
  db: {host: db.internal.example, kind: mysql, vpc: main, private_name: true}
controls: [{host: www.example.org, flaky: 20}]
traffic: [{vpc: main, rate: 100, address: 10.50.9.9}]
expect: {verdict: [healthy]}
"""


def layout(faults: str = "[]") -> tuple[Layout, list[Effects]]:
    night = load.parse(f"{NIGHT}faults: {faults}\n")
    found = lay_out(night)
    return found, [fault.effects(found) for fault in night.faults]


def rules(faults: str) -> str:
    _, effects = layout(faults)
    return "\n".join(f"{r.ns} {r.chain}: {r.text}" for r in effects[0].rules)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_cable_ends_in_a_namespace_under_a_name_the_kernel_takes(path: Path) -> None:
    plan = wire(lay_out(load.read(path)))
    assert len(set(plan.namespaces)) == len(plan.namespaces)
    ends = [(c.a, c.a_name) for c in plan.cables] + [(c.b, c.b_name) for c in plan.cables]
    assert {ns for ns, _ in ends} == set(plan.namespaces)
    assert len(set(ends)) == len(ends)
    assert max(len(name) for _, name in ends) <= 15
    assert set(plan.lines) == set(plan.namespaces)


def test_what_has_no_address_gets_one_that_nobody_else_has() -> None:
    found, _ = layout()
    assert [v.address for v in found.vantages()] == [
        "10.50.2.10",
        "10.50.2.11",
        "10.21.2.10",
        "10.22.2.10",
        "192.0.2.100",
    ]
    assert found.controls["www.example.org"].addresses == {"": "203.0.113.200"}
    assert found.services["db"].addresses == {"": "10.50.3.1"}
    for vpc in found.vpcs:
        assert all(ipaddress.ip_address(v.address) in ipaddress.ip_network(vpc.network) for v in vpc.vantages)


def test_an_address_written_in_the_scenario_is_not_handed_out() -> None:
    night = load.parse(small(controls=[{"host": "c.example", "address": "203.0.113.10"}]))
    assert lay_out(night).services["api"].addresses == {"": "203.0.113.11"}


def test_vantage_points_are_called_after_their_region_or_else_their_vpc() -> None:
    found, _ = layout()
    assert [v.name for v in found.vantages()] == ["here-vm", "here-pod", "here-vm2", "there-vm", "desk"]
    night = load.parse(small(regions={"r": {"vpcs": {v: {"vantages": [{"kind": "vm"}]} for v in ("one", "two")}}}))
    assert [v.name for v in lay_out(night).vantages()] == ["one-vm", "two-vm"]


def test_a_pod_asks_the_cluster_dns_which_asks_the_vpcs_resolver() -> None:
    found, _ = layout()
    pod = found.vantage("here-pod")
    assert pod.resolvers == {"host": "10.50.0.10", "vpc": "183.60.83.19", "public": "198.51.100.53"}
    cluster = next(r for r in resolvers(found) if r.id == "cluster-main")
    assert cluster.listens == ("10.50.0.10", "10.50.1.2", "10.50.1.3", "10.50.1.4")
    assert cluster.upstream == "183.60.83.19"
    text = config(cluster, Path("/x"), {})
    assert 'local-zone: "cluster.local." static' in text
    assert 'local-data: "kubernetes.default.svc.cluster.local. 5 IN A 10.50.0.9"' in text


def test_a_private_name_is_known_to_its_vpcs_resolver_only() -> None:
    found, _ = layout()
    by_id = {r.id: config(r, Path("/x"), {}) for r in resolvers(found)}
    assert [i for i, text in by_id.items() if "db.internal.example" in text] == ["vpc-main"]
    world = files.world(1, load.parse(NIGHT), found, [], keys={}, namespaces=Path("/run/netns/x-"))
    assert "sms.example.com" in world
    assert '"db.internal.example": "' not in world.replace('"host": "db.internal.example"', "")


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        (
            "[{kind: dns_limit, vpc: main, rate: 300}]",
            "ip daddr 183.60.83.19 udp dport 53 limit rate over 300/second burst 30 packets drop",
        ),
        (
            "[{kind: conntrack_race, vpc: main, loss: 30}]",
            "ip daddr 10.50.0.10 udp dport 53 numgen random mod 1000 < 300 drop",
        ),
        ("[{kind: block, vpc: main, services: [sms]}]", "v0 forward: ip daddr 203.0.113.10 tcp dport 443 drop"),
        ("[{kind: block, vpc: main, services: [sms]}]", "v0 forward: ip daddr 203.0.113.11 tcp dport 443 drop"),
        (
            "[{kind: block, vantages: [desk], addresses: [203.0.113.200]}]",
            "o0 output: ip daddr 203.0.113.200 meta l4proto tcp drop",
        ),
        ("[{kind: egress_loss, region: here, loss: 2.5}]", "v1 forward: oifname up0 numgen random mod 1000 < 25 drop"),
        ("[{kind: egress_down, vpc: away}]", "v2 forward: iifname up0 drop"),
        (
            "[{kind: vendor_down_region, service: sms, region: there, phase: refuse}]",
            "world input: ip daddr 203.0.113.11 tcp dport 443 reject with tcp reset",
        ),
        ("[{kind: vantage_faulty, vantage: here-vm}]", "a0x0 output: oifname eth0 drop"),
    ],
)
def test_a_fault_is_a_few_packet_rules(faults: str, said: str) -> None:
    assert said in rules(faults)


def test_a_regional_fault_leaves_the_other_addresses_alone() -> None:
    assert "203.0.113.10" not in rules("[{kind: vendor_down_region, service: sms, region: there}]")
    _, effects = layout("[{kind: cert_expired, services: [sms], region: here}]")
    assert effects[0].sites == {"sms@203.0.113.10": {"certificate": "expired"}}


def test_faults_of_servers_are_settings() -> None:
    _, effects = layout("[{kind: throttled, services: [sms], share: 40}, {kind: slow, services: [sms], ms: 900}]")
    assert [e.sites for e in effects] == [
        {"sms": {"api": "throttled", "api_share": 40}},
        {"sms": {"http_delay_ms": 900}},
    ]


def test_each_fault_is_a_table_of_its_own() -> None:
    _, effects = layout("[{kind: egress_loss, region: here, loss: 10}]")
    texts = table("fault0", effects[0].rules)
    assert sorted(texts) == ["v0", "v1"]
    assert texts["v0"].startswith("table inet fault0 {\n chain forward {\n  type filter hook forward priority 0;")


def test_a_share_of_packets_is_exact_to_a_thousandth() -> None:
    assert [loss(100), loss(0.04), loss(33.3)] == ["", "numgen random mod 1000 < 1 ", "numgen random mod 1000 < 333 "]


def test_the_generated_playbook_expects_everybody_and_asks_each_in_its_own_language() -> None:
    night = load.parse(NIGHT)
    book = files.playbook(night, lay_out(night))
    assert book["playbook"] == "sms"
    assert book["targets"] == {"sms": "https://sms.example.com", "db": "mysql://db.internal.example"}
    assert {kind for line in book["probe"] for kind in line} == {"dns", "http", "tcp", "api", "mysql"}
    assert {"vantage": "outside", "region": "home"} in book["expect"]


def test_an_agents_policy_lets_it_out_and_keeps_it_from_metadata(tmp_path: Path) -> None:
    from bot.agent.policy import load_policy
    from bot.probes.base import Denied

    night = load.parse(NIGHT)
    files.prepare(tmp_path, night, lay_out(night))
    policy = load_policy(tmp_path / "agents" / "here-vm.yaml")
    policy.check("mysql", "10.50.3.1", 3306)
    policy.check("http", "203.0.113.10", 443)
    with pytest.raises(Denied, match="metadata"):
        policy.check("http", "169.254.169.254", 80)
