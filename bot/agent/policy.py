"""What this agent may touch. The machine's owner writes it; no hub can widen it.

Without a file: public addresses and the host's own resolvers, nothing private. Metadata addresses are refused
whatever a rule says, in every spelling that carries them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.agent import policy_file
from bot.agent.addresses import METADATA, Ip, metadata, private, subjects
from bot.agent.credentials import credentials, service_account
from bot.agent.pacer import Pacer
from bot.agent.policy_file import RESOLV_CONF, Budget, Rule, Settings
from bot.probes.base import Denied, ProbeContext, QueryLog
from bot.probes.params import show

REMEMBERED = 1024
"""Addresses that need not be looked at again, before all of them are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The policy in force. Implements `bot.probes.base.Guard`.

    `host_resolvers` are those of the machine's resolv.conf: NodeLocal DNSCache and systemd-resolved live at
    link-local and loopback addresses, so they may be asked at port 53 by kind dns without a rule.
    """

    settings: Settings = field(default_factory=Settings)
    host_resolvers: tuple[str, ...] = ()
    _allowed: set[tuple[str, str, int]] = field(default_factory=set, init=False, repr=False, compare=False)
    """What was looked at and found allowed; a policy never changes while it is in force."""

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
        asked = (kind, address, port)
        if asked not in self._allowed:
            self._judge(kind, address, port)
            if len(self._allowed) >= REMEMBERED:
                self._allowed.clear()
            self._allowed.add(asked)

    def _judge(self, kind: str, address: str, port: int) -> None:
        if self.kinds is not None and kind not in self.kinds:
            raise Denied(f"kind {kind} is not among the policy's kinds")
        if kind == "dns" and port == 53 and address in self.host_resolvers:
            return
        literal = _canonical(address)
        hidden = metadata(literal)
        if hidden is not None:
            raise Denied(f"{hidden} is {METADATA[hidden]}: never allowed{_within(literal, hidden)}")
        for ip in subjects(literal):
            self._check(kind, ip, port, _within(literal, ip))

    def _check(self, kind: str, ip: Ip, port: int, within: str) -> None:
        if any(rule.covers(kind, ip, port) for rule in self.settings.allow):
            return
        if kind == "dns" and (str(ip), port) in self.settings.named:
            return
        whose = private(ip)
        if whose:
            rule = f"an allow rule for its network, port {port} and kind {kind} is needed"
            raise Denied(f"{ip} is {whose}; {rule}{within}")
        if not self.settings.public:
            rule = f"it needs an allow rule for {kind}:{port}"
            raise Denied(f"{ip} is public and the policy says public: deny; {rule}{within}")

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
            service_account=service_account(environ),
        )


def load_policy(path: Path | str | None, *, resolv_conf: Path = RESOLV_CONF) -> Policy:
    """The policy of a YAML file, or the default one. Raises ConfigError: file, key and what is wrong with it."""
    settings = Settings() if path is None else policy_file.read(Path(path))
    return Policy(settings=settings, host_resolvers=policy_file.nameservers(resolv_conf))


def _canonical(address: str) -> Ip:
    """Only the one canonical spelling is dialled, so what is checked and what is dialled cannot differ."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError as exc:
        raise Denied(f"{address[:80]!r} is not an IP literal") from exc
    if str(ip) != address or "%" in address:
        raise Denied(f"{address[:80]!r} is not the canonical spelling of an IP literal")
    return ip


def _within(literal: Ip, ip: Ip) -> str:
    return "" if literal == ip else f" ({literal} leads to it)"


__all__ = ["METADATA", "Budget", "Policy", "Rule", "load_policy"]
