"""What a patrol asks only now and then, because it is heavy or changes slowly: certificates, DNS clients, CoreDNS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.diagnosis import plan
from bot.diagnosis.asks import Ask, is_address
from bot.diagnosis.pacing import request
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, ProbeRequest

LATER = ("dns_top", "coredns")
"""Kinds under `then:` that tell of a limit before it is reached."""


def deep(playbook: Playbook, agents: Sequence[Agent]) -> Sequence[ProbeRequest]:
    """One look at each https target's certificate from every region, and the `then:` steps that tell of limits."""
    everywhere = frozenset(a.name for a in agents)
    asked = [request(ask, "deep") for ask in _certificates(playbook, agents)]
    for kind in LATER:
        asked += plan.follow_up(kind, playbook, agents, everywhere, ())
    return asked


def _certificates(playbook: Playbook, agents: Sequence[Agent]) -> Iterator[Ask]:
    able = [a for a in agents if not a.kinds or "tls" in a.kinds]
    first = {a.region: a for a in reversed(able)}
    for target in playbook.targets.values():
        for agent in first.values() if target.tls else ():
            place = "address" if is_address(target.host) else "host"
            params = {place: target.host, "port": target.port}
            yield Ask(
                agent=agent, probe=f"tls/{target.key}", kind="tls", layer="probe", target=target.url, params=params
            )
