"""What will fail soon and works still: read from what a patrol saw, with the number and its limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.patrol import PatrolRules
from bot.domain.probe import Observation
from bot.domain.text import Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something nearing its limit. `key` is the same for the same thing, however often it is seen."""

    key: str
    text: Text
    number: float
    limit: float


def notices(observations: Sequence[Observation], rules: PatrolRules, *, now: datetime) -> Sequence[Notice]:
    """One for each thing that nears a limit, told by whoever saw the worst of it."""
    worst: dict[str, Notice] = {}
    for seen in observations:
        for notice in (
            *_certificate(seen, rules, now),
            *_connections(seen, rules),
            *_dns_client(seen, rules),
            *_coredns(seen),
        ):
            known = worst.get(notice.key)
            if known is None or _nearer(notice, known):
                worst[notice.key] = notice
    return [worst[key] for key in sorted(worst)]


def _nearer(one: Notice, other: Notice) -> bool:
    """Days and replicas run out downwards, connections and queries upwards."""
    falls = one.key.startswith(("certificate", "coredns"))
    return one.number < other.number if falls else one.number > other.number


def _certificate(seen: Observation, rules: PatrolRules, now: datetime) -> Iterator[Notice]:
    certificate = seen.detail.get("certificate")
    ends = certificate.get("not_after") if isinstance(certificate, Mapping) else None
    try:
        left = (datetime.fromisoformat(str(ends)) - now).days if ends else None
    except (ValueError, TypeError):
        return
    if left is None or not 0 <= left <= rules.certificate_days:
        return
    yield Notice(
        key=f"certificate:{seen.target}",
        text=Text(
            f"{seen.target} 的证书还有 {left} 天到期（{str(ends)[:10]}，提醒线 {rules.certificate_days} 天）",
            f"the certificate of {seen.target} ends in {left} days ({str(ends)[:10]}; "
            f"told from {rules.certificate_days} days on)",
        ),
        number=left,
        limit=rules.certificate_days,
    )


def _connections(seen: Observation, rules: PatrolRules) -> Iterator[Notice]:
    share, used, limit = (_number(seen.detail, key) for key in ("used_share", "connections", "limit"))
    if share is None or share < rules.connections_share:
        return
    of = f"{used:.0f}/{limit:.0f}, " if used is not None and limit else ""
    yield Notice(
        key=f"connections:{seen.target}",
        text=Text(
            f"{seen.target} 的连接数已用 {share:.0%}（{of}提醒线 {rules.connections_share:.0%}）",
            f"{seen.target} has {share:.0%} of its connections in use ({of}told from {rules.connections_share:.0%} on)",
        ),
        number=share,
        limit=rules.connections_share,
    )


def _dns_client(seen: Observation, rules: PatrolRules) -> Iterator[Notice]:
    limit, clients = rules.dns_limits.get(seen.vpc), seen.detail.get("clients")
    if seen.layer != "dns_top" or not limit or not isinstance(clients, Sequence) or not clients:
        return
    qps, address = _number(clients[0], "qps"), str(clients[0].get("address", "?"))
    if qps is None or qps < rules.dns_share * limit:
        return
    yield Notice(
        key=f"dns:{seen.vpc}:{address}",
        text=Text(
            f"{seen.vpc} 里 {address} 每秒 {qps:.0f} 次 DNS 查询，已到 VPC 限额 {limit:.0f} 的 {qps / limit:.0%}",
            f"{address} in {seen.vpc} sends {qps:.0f} DNS queries/s, {qps / limit:.0%} of the VPC's limit "
            f"of {limit:.0f}",
        ),
        number=qps,
        limit=limit,
    )


def _coredns(seen: Observation) -> Iterator[Notice]:
    if seen.kind != "coredns":
        return
    replicas, sizing = seen.detail.get("replicas"), seen.detail.get("sizing")
    ready, nodes = _number(replicas, "ready"), _number(seen.detail, "nodes")
    advice = [_number(sizing, key) for key in sizing if key != "nodes"] if isinstance(sizing, Mapping) else []
    wanted = min((n for n in advice if n is not None), default=None)
    if ready is None or nodes is None or wanted is None or ready >= wanted:
        return
    where = seen.cluster or seen.target
    yield Notice(
        key=f"coredns:{where}",
        text=Text(
            f"集群 {where} 有 {nodes:.0f} 个节点，CoreDNS 只有 {ready:.0f} 个副本（各家公式至少要 {wanted:.0f} 个）",
            f"cluster {where} has {nodes:.0f} nodes and {ready:.0f} CoreDNS replicas "
            f"(the published formulas want at least {wanted:.0f})",
        ),
        number=ready,
        limit=wanted,
    )


def _number(detail: Any, key: str) -> float | None:
    value = detail.get(key) if isinstance(detail, Mapping) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
