"""What faults do to a world, as values: packet rules, link settings, and how servers and agents differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CHAINS = ("input", "forward", "output")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One nftables rule in a base chain of a namespace."""

    ns: str
    chain: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tweak:
    """A change of a link or queue: the line that makes it and the line that takes it back (tc if `tool` says so)."""

    ns: str
    do: str
    undo: str
    tool: str = "ip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """Everything one fault changes. Empty means no difference.

    `sites` maps a service's key (or a control's host) to settings of `bot.lab.netns.sites.Settings`, for all its
    addresses or, where the key is (key, address), for one; `lies` maps a VPC to {name: wrong address};
    `servfail` are VPCs whose resolver gets nothing from its upstream; `environ` is added to an agent's environment.
    """

    rules: Sequence[Rule] = ()
    tweaks: Sequence[Tweak] = ()
    sites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    lies: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    servfail: Sequence[str] = ()
    environ: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def table(name: str, rules: Sequence[Rule]) -> dict[str, str]:
    """{namespace: nft text}: one table, so that one fault can be lifted without the others."""
    texts = {}
    for ns in dict.fromkeys(rule.ns for rule in rules):
        chains = []
        for chain in CHAINS:
            lines = [r.text for r in rules if r.ns == ns and r.chain == chain]
            if lines:
                body = "\n  ".join((f"type filter hook {chain} priority 0; policy accept;", *lines))
                chains.append(f" chain {chain} {{\n  {body}\n }}")
        texts[ns] = f"table inet {name} {{\n" + "\n".join(chains) + "\n}\n"
    return texts


def loss(percent: float) -> str:
    """The nft match for a share of packets, to a thousandth; "" for all of them."""
    share = round(percent * 10)
    return "" if share >= 1000 else f"numgen random mod 1000 < {max(1, share)} "
