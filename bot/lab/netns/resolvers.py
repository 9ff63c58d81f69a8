"""Unbound's configuration for each resolver of a layout. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bot.lab.netns.layout import WORLD, Layout

BLOCKED = ("test", "invalid", "onion", "localhost", "home.arpa")
"""Names unbound answers by itself unless it is told not to (RFC 6761, RFC 7686)."""
CLUSTER_PATIENCE_MS = 600
"""CoreDNS' `forward` asks again within a client's patience; unbound by itself would back off for minutes."""
CLUSTER_ZONE = "cluster.local"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolverPlace:
    """One unbound process. `own` are names it serves by itself, `zone` one whose other names do not exist."""

    id: str
    ns: str
    listens: tuple[str, ...]
    asks_from: str
    upstream: str
    own: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    patience_ms: int = 120_000
    """The longest it waits for its upstream before it asks again."""
    logs: bool = False


def resolvers(layout: Layout) -> Sequence[ResolverPlace]:
    """The public one, the ISP's, every VPC's, every cluster's."""
    found = [
        ResolverPlace(id=name, ns=WORLD, listens=(address,), asks_from=address, upstream=layout.authority)
        for name, address in (("public", layout.public), ("isp", layout.isp))
    ]
    for vpc in layout.vpcs:
        found.append(
            ResolverPlace(
                id=f"vpc-{vpc.name}",
                ns=vpc.ns,
                listens=(vpc.resolver,),
                asks_from=vpc.uplink,
                upstream=layout.authority,
                own=vpc.names,
                logs=any(v.log_of for v in vpc.vantages),
            )
        )
        if vpc.cluster:
            found.append(
                ResolverPlace(
                    id=f"cluster-{vpc.name}",
                    ns=vpc.cluster.ns,
                    listens=(vpc.cluster.service, *vpc.cluster.pods),
                    asks_from=vpc.cluster.pods[0],
                    upstream=vpc.resolver,
                    own=vpc.cluster.names,
                    zone=CLUSTER_ZONE,
                    patience_ms=CLUSTER_PATIENCE_MS,
                )
            )
    return found


def clients(layout: Layout) -> Mapping[str, str]:
    """{address a resolver asks the authority from: the region it asks for}; the world's own ask for none."""
    return {vpc.uplink: vpc.region for vpc in layout.vpcs}


def config(place: ResolverPlace, folder: Path, lies: Mapping[str, str]) -> str:
    """unbound.conf(5). Nothing is validated or prefetched, and a resolver keeps asking an upstream that is silent."""
    lines = [
        "server:",
        *(f"  interface: {address}" for address in place.listens),
        f"  outgoing-interface: {place.asks_from}",
        "  do-daemonize: no",
        '  username: ""',
        '  chroot: ""',
        f'  directory: "{folder}"',
        '  pidfile: ""',
        "  use-syslog: no",
        f'  logfile: "{log_file(folder, place.id)}"',
        f"  log-queries: {'yes' if place.logs else 'no'}",
        "  num-threads: 1",
        "  do-ip6: no",
        '  module-config: "iterator"',
        "  access-control: 0.0.0.0/0 allow",
        "  do-not-query-localhost: no",
        "  infra-host-ttl: 1",
        f"  infra-cache-max-rtt: {place.patience_ms}",
        "  infra-keep-probing: yes",
        "  minimal-responses: yes",
        "  hide-identity: yes",
        "  hide-version: yes",
        # private answers are ordinary here
        "  unblock-lan-zones: yes",
        "  insecure-lan-zones: yes",
        *(f'  local-zone: "{name}." nodefault' for name in BLOCKED),
    ]
    if place.zone:
        lines.append(f'  local-zone: "{place.zone}." static')
    for name, address in {**place.own, **lies}.items():
        if not (place.zone and name.endswith(f".{place.zone}")):
            lines.append(f'  local-zone: "{name}." redirect')
        lines.append(f'  local-data: "{name}. 5 IN A {address}"')
    lines += ["remote-control:", "  control-enable: no", "forward-zone:", '  name: "."']
    lines += [f"  forward-addr: {place.upstream}", "  forward-first: no"]
    return "\n".join(lines) + "\n"


def log_file(folder: Path, resolver: str) -> Path:
    """Where a resolver writes, its query log included."""
    return folder / "queries" / f"{resolver}.log"
