"""What will fail soon is told with its number and its limit, and what is far from it is not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bot.diagnosis.notices import notices
from bot.domain.patrol import PatrolRules
from bot.domain.probe import Observation
from bot.testing.clock import ONSET

RULES = PatrolRules(dns_limits={"blue": 1000.0})


def seen(kind: str, *, layer: str = "probe", agent: str = "vm", **detail: Any) -> Observation:
    return Observation(
        probe=kind,
        kind=kind,
        layer=layer,
        target="https://sms.example",
        agent=agent,
        region="east",
        vantage="vm",
        vpc="blue",
        cluster="k1",
        ok=True,
        detail=detail,
    )


def certificate(days: float) -> Observation:
    return seen("tls", certificate={"not_after": (ONSET + timedelta(days=days)).isoformat()})


def coredns(ready: int, nodes: int, wanted: int) -> Observation:
    sizing = {"nodes": nodes, "tencent": wanted, "eks_by_nodes": wanted + 5}
    return seen("coredns", layer="coredns", replicas={"wanted": ready, "ready": ready}, nodes=nodes, sizing=sizing)


@pytest.mark.parametrize(
    ("observation", "says"),
    [
        (
            certificate(14.5),
            "the certificate of https://sms.example ends in 14 days (2026-01-30; told from 14 days on)",
        ),
        (certificate(15.5), ""),
        (certificate(-1), ""),  # that is no longer soon: the verdict says so
        (seen("tls", certificate={"not_after": "soon"}), ""),
        (seen("tls", certificate=None), ""),
        (
            seen("mysql", used_share=0.82, connections=820, limit=1000),
            "https://sms.example has 82% of its connections in use (820/1000, told from 80% on)",
        ),
        (seen("redis", used_share=0.9), "https://sms.example has 90% of its connections in use (told from 80% on)"),
        (seen("postgres", used_share=0.79, connections=79, limit=100), ""),
        (
            seen("dns_top", layer="dns_top", clients=[{"address": "10.3.7.21", "qps": 810.0, "share": 0.9}]),
            "10.3.7.21 in blue sends 810 DNS queries/s, 81% of the VPC's limit of 1000",
        ),
        (seen("dns_top", layer="dns_top", clients=[{"address": "10.3.7.21", "qps": 700.0, "share": 0.9}]), ""),
        (seen("dns_top", layer="dns_top", clients=[]), ""),
        (
            coredns(2, 80, 5),
            "cluster k1 has 80 nodes and 2 CoreDNS replicas (the published formulas want at least 5)",
        ),
        (coredns(5, 80, 5), ""),
        (seen("coredns", layer="coredns", replicas=None, nodes=None, sizing=None), ""),
    ],
)
def test_a_limit_is_told_of_when_it_is_near(observation: Observation, says: str) -> None:
    found = notices([observation], RULES, now=ONSET)
    assert [n.text.en for n in found] == ([says] if says else [])
    assert all("?" not in n.text.zh for n in found)


def test_of_several_who_saw_it_the_worst_is_told() -> None:
    (found,) = notices([certificate(9.5), certificate(3.5), certificate(11.5)], RULES, now=ONSET)
    assert found.number == 3
    shares = [seen("mysql", used_share=share) for share in (0.81, 0.93, 0.85)]
    (full,) = notices(shares, RULES, now=ONSET)
    assert full.number == 0.93


def test_a_vpc_without_a_known_limit_is_not_guessed_at() -> None:
    busy = seen("dns_top", layer="dns_top", clients=[{"address": "10.3.7.21", "qps": 9000.0, "share": 0.9}])
    assert notices([busy], PatrolRules(), now=ONSET) == []
