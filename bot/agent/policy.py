"""What this agent may touch. The machine's owner writes it; no hub can widen it.

Without a file: public addresses and the host's own resolvers, nothing private. Metadata addresses are refused
whatever a rule says, in every spelling that carries them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bot.agent import policy_file
from bot.agent.credentials import credentials
from bot.agent.pacer import Pacer
from bot.agent.policy_file import RESOLV_CONF, Budget, Rule, Settings
from bot.probes.base import Denied, ProbeContext, QueryLog
from bot.probes.params import show

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA: Mapping[Ip, str] = {
    ipaddress.ip_address(literal): cloud
    for literal, cloud in (
        ("169.254.169.254", "cloud metadata (AWS, Azure, Google, Tencent)"),
        ("169.254.170.2", "AWS container credentials"),
        ("169.254.170.23", "AWS pod identity"),
        ("169.254.0.23", "Tencent metadata"),
        ("100.100.100.200", "Alibaba metadata"),
        ("168.63.129.16", "Azure host agent"),
        ("192.0.0.192", "Oracle metadata"),
        ("fd00:ec2::254", "AWS metadata"),
        ("fd00:ec2::23", "AWS pod identity"),
        ("fd20:ce::254", "Google metadata"),
    )
}

_PRIVATE = tuple(
    (ipaddress.ip_network(network), name)
    for network, name in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
"""IANA special-purpose IPv4 blocks that are somebody's own; documentation blocks reach nothing and pass."""
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The policy in force. Implements `bot.probes.base.Guard`.

    `host_resolvers` are those of the machine's resolv.conf: NodeLocal DNSCache and systemd-resolved live at
    link-local and loopback addresses, so they may be asked at port 53 by kind dns without a rule.
    """

    settings: Settings = field(default_factory=Settings)
    host_resolvers: tuple[str, ...] = ()

    @property
    def budget(self) -> Budget:
        """How much the agent may do at once and per second."""
        return self.settings.budget

    @property
    def concurrent(self) -> int:
        """How many probes may run at once."""
        return self.budget.concurrent

    def kinds_of(self, known: Iterable[str]) -> tuple[str, ...]:
        """Those of the known kinds that this policy permits."""
        return tuple(kind for kind in known if self.kinds is None or kind in self.kinds)

    @property
    def kinds(self) -> frozenset[str] | None:
        """The only kinds permitted at all; None for every kind."""
        return self.settings.kinds

    def resolvers(self) -> dict[str, tuple[str, ...]]:
        """The resolvers by group, `address:port` each; "host" falls back to the machine's own."""
        own = {"host": tuple(show(a, 53) for a in self.host_resolvers)} if self.host_resolvers else {}
        return {**own, **self.settings.resolvers}

    def check(self, kind: str, address: str, port: int) -> None:
        """Raise Denied unless `kind` may touch `address`:`port`. Port 0 means the kind has no ports (ICMP)."""
        if self.kinds is not None and kind not in self.kinds:
            raise Denied(f"kind {kind} is not among the policy's kinds")
        if kind == "dns" and port == 53 and address in self.host_resolvers:
            return
        for ip in _subjects(_canonical(address)):
            self._check(kind, ip, port)

    def _check(self, kind: str, ip: Ip, port: int) -> None:
        if ip in METADATA:
            raise Denied(f"{ip} is {METADATA[ip]}: never allowed")
        if any(rule.covers(kind, ip, port) for rule in self.settings.allow):
            return
        if kind == "dns" and (str(ip), port) in self.settings.named:
            return
        private = _private(ip)
        if private:
            raise Denied(f"{ip} is {private}; an allow rule for its network, port {port} and kind {kind} is needed")
        if not self.settings.public:
            raise Denied(f"{ip} is public and the policy says public: deny; it needs an allow rule for {kind}:{port}")

    def context(self, environ: Mapping[str, str]) -> ProbeContext:
        """What probes get; vendor keys come from the environment. Raises ConfigError for half a key."""
        s = self.settings
        return ProbeContext(
            guard=self,
            resolvers=self.resolvers(),
            host_engine="direct" if "host" in s.resolvers else "getaddrinfo",
            source=s.source,
            ca_file=s.ca_file,
            credentials=credentials(environ),
            query_log=QueryLog(path=s.query_log[0], format=s.query_log[1]) if s.query_log else None,
            capture=s.capture,
            kinds=self.kinds,
            pace=Pacer(self.budget),
            logins=s.logins,
        )


def load_policy(path: Path | str | None, *, resolv_conf: Path = RESOLV_CONF) -> Policy:
    """The policy of a YAML file, or the default one. Raises ConfigError: file, key and what is wrong with it."""
    settings = Settings() if path is None else policy_file.read(Path(path))
    return Policy(settings=settings, host_resolvers=policy_file.nameservers(resolv_conf))


@lru_cache(maxsize=1024)
def _canonical(address: str) -> Ip:
    """Only the one canonical spelling is dialled, so what is checked and what is dialled cannot differ."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError as exc:
        raise Denied(f"{address[:80]!r} is not an IP literal") from exc
    if str(ip) != address or "%" in address:
        raise Denied(f"{address[:80]!r} is not the canonical spelling of an IP literal")
    return ip


def _subjects(ip: Ip) -> Sequence[Ip]:
    """The addresses that a packet to `ip` may reach: every IPv4 address embedded in it, else itself."""
    if isinstance(ip, ipaddress.IPv4Address):
        return (ip,)
    if ip in METADATA:
        return (ip,)
    low = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.ipv4_mapped:
        return (ip.ipv4_mapped,)
    if ip.sixtofour:
        return (ip.sixtofour,)
    if ip.teredo:
        return ip.teredo
    if ip in _NAT64 or ip in _TRANSLATED or (ip in _COMPATIBLE and int(ip) > 0xFFFF):
        return (low,)
    if (int(ip) >> 32) & 0xFFFFFFFF in (0x00005EFE, 0x02005EFE):  # ISATAP, RFC 5214
        return (ip, low)
    return (ip,)


def _private(ip: Ip) -> str:
    if isinstance(ip, ipaddress.IPv4Address):
        return next((name for network, name in _PRIVATE if ip in network), "")
    if ip in _GLOBAL_V6:
        return ""
    if ip.is_loopback or ip.is_unspecified:
        return "loopback" if ip.is_loopback else "unspecified"
    if ip.is_multicast:
        return "multicast"
    return "link-local" if ip.is_link_local else "private (not global unicast)"


__all__ = ["METADATA", "Budget", "Policy", "Rule", "load_policy"]
