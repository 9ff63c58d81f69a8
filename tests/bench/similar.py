"""Memory: whether the earlier incident that is named first is of the same kind, on a corpus whose kinds are known.

Three measurements, because one alone would flatter:

- `again`: nights of the same kinds in other places, with other severities and vantage points missing, each compared
  with all the others of a corpus of more than 200. Judged on the half (by hash of the name) on which nothing was set.
- `by what failed alone`: the same without what the engine believes of the present night.
- `strangers`: the lab's recordings, each of a scenario of its own, made as unlike the others as could be;
  for each of the kinds that occur at least twice, whether the most alike of the *other* scenarios is of its kind.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bot.app.memory import print_of
from bot.diagnosis.fingerprint import fingerprint
from bot.diagnosis.replay import read
from bot.diagnosis.similar import Memory, similar
from bot.domain.failure import Failure
from bot.domain.probe import Agent, ProbeRequest
from tests.bench.table import Effort, Row
from tests.diagnosis import nights

FAMILIES = (
    nights.vpc_dns_rate_limited,
    nights.permission_revoked,
    nights.firewall_block,
    nights.vendor_outage_global,
    nights.certificate_expired,
    nights.resolver_down,
    nights.coredns_overload,
    nights.vendor_throttled,
    nights.credential_invalid,
    nights.vendor_quota,
    nights.vendor_allowlist,
    nights.vantage_faulty,
    nights.region_egress_loss,
)
SYMPTOMS = (
    "用户收不到验证码",
    "短信发不出去，接口报 internal error",
    "登录一直转圈",
    "users get internal service error when they ask for a code",
    "uploads fail",
    "图片打不开",
    "payments are stuck",
    "客户反馈很慢",
)
"""Said of any kind: what users see tells the service, and not the cause."""
SERVICES = ("sms", "cos")
EACH = 17
GOAL = 0.9
START = datetime(2025, 1, 1, tzinfo=UTC)
GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True, kw_only=True)
class Night:
    """A remembered incident and the kind it is of."""

    memory: Memory
    family: str

    @property
    def held_out(self) -> bool:
        """Whether it is of the half on which nothing was set."""
        return hashlib.sha256(self.memory.incident.encode()).digest()[0] % 2 == 1


def similar_first(effort: Effort) -> Iterable[Row]:
    """How often the first one named is of the right kind, and how long the asking takes."""
    corpus = seeded(EACH if effort.rounds > 1 else 3)
    chance = _chance(corpus)
    for title, beliefs in (("again", True), ("by what failed alone", False)):
        for half, asked in (
            ("set", [n for n in corpus if not n.held_out]),
            ("held out", [n for n in corpus if n.held_out]),
        ):
            note = f"{len(asked)} asked, corpus {len(corpus)}, {len(FAMILIES)} kinds, half {half}"
            yield _row(f"similar, {title}, {half}", _first(asked, corpus, beliefs=beliefs), chance, note)
    took = []
    for night in corpus[:20]:
        began = time.perf_counter()
        similar(night.memory, [one.memory for one in corpus])
        took.append((time.perf_counter() - began) * 1000)
    yield Row(
        row=f"similar, among {len(corpus)}",
        unit="ms",
        ours=round(median(took), 1),
        goal="<= 200 ms",
        met=median(took) <= 200,
    )
    strangers = recorded()
    twice = {family for family, count in Counter(n.family for n in strangers).items() if count > 1}
    asked = [night for night in strangers if night.family in twice]
    note = f"{len(asked)} of {len(strangers)} recordings with a fault, {len(twice)} kinds; each unlike on purpose"
    found = _first(asked, strangers, beliefs=False)
    yield Row(
        row="similar, strangers",
        unit="of 1",
        ours=round(found, 3),
        peer=round(_chance(strangers), 3),
        peer_name="the commonest kind",
        goal="none",
        note=note,
    )


def _row(name: str, found: float, chance: float, note: str) -> Row:
    return Row(
        row=name,
        unit="of 1",
        ours=round(found, 3),
        peer=round(chance, 3),
        peer_name="the commonest kind",
        goal=f">= {GOAL:g}",
        met=found >= GOAL,
        note=note,
    )


def _chance(corpus: Sequence[Night]) -> float:
    return max(Counter(n.family for n in corpus).values()) / len(corpus)


def _first(asked: Sequence[Night], corpus: Sequence[Night], *, beliefs: bool) -> float:
    """The share of nights of which the most alike of all others is of their kind."""
    families = {night.memory.incident: night.family for night in corpus}
    others = [night.memory for night in corpus]
    hits = 0
    for night in asked:
        now = night.memory if beliefs else replace(night.memory, beliefs={})
        found = similar(now, others, most=1, worth=0.0)
        hits += bool(found) and families[found[0].memory.incident] == night.family
    return hits / len(asked)


def seeded(each: int) -> list[Night]:
    """So many nights of each kind: other places, severities, services and words, and somebody often missing."""
    dice = random.Random(20260115)
    made: list[Night] = []
    for rule in FAMILIES:
        for n in range(each):
            agents = _places(dice, n)
            worse = dice.choice((0.0, 0.0, 0.3, 0.5))
            likely = dice.choice(SERVICES)
            # A playbook that never asks what the fault is about sees nothing, and has nothing to remember.
            for service in dict.fromkeys((likely, *SERVICES)):
                run = nights.investigate(_weaker(rule, worse), who=agents, playbook=nights.PLAYBOOKS[service])
                verdict, seen = run.verdict(), fingerprint(run.picture())
                if seen:
                    break
            else:
                continue
            shares = {r.hypothesis.id: r.share for r in verdict.ranked if r.share >= 0.01}
            words = dice.choice(SYMPTOMS)
            made.append(
                Night(
                    family=rule.__name__,
                    memory=Memory(
                        incident=f"{rule.__name__}-{n}",
                        title=words,
                        opened_at=START + timedelta(hours=len(made)),
                        service=service,
                        words=words,
                        fingerprint=seen,
                        # What the engine said then, right or wrong: nobody corrected it.
                        causes=verdict.ids if verdict.share >= 0.6 else (),
                        beliefs=shares,
                    ),
                )
            )
    return made


def _places(dice: random.Random, n: int) -> tuple[Agent, ...]:
    """The tests' vantage points in regions of other names, one of them gone every third time."""
    # The rules of the nights know "east" by name; the rest of the world is another one each time.
    names = {region: f"{region}-{dice.randrange(1000)}" for region in ("west", "office")}
    moved = [replace(agent, region=names.get(agent.region, agent.region)) for agent in nights.agents()]
    if n % 3 == 0:
        # Never the ones in the VPC where it happens: then there is nothing to remember.
        gone = dice.choice([a.name for a in moved if a.vpc != "blue"])
        moved = [replace(a, state="lost") if a.name == gone else a for a in moved]
    return tuple(moved)


def _weaker(rule: nights.Rule, share: float) -> nights.Rule:
    """The same fault with that share of tries getting through, where it is one of many tries."""

    def weaker(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
        found = rule(request, agent)
        tries = int(request.params.get("tries", 1))
        return found if found is None or tries < 6 else (max(found[0], round(tries * share)), found[1])

    return weaker


def recorded() -> list[Night]:
    """The lab's recordings in which something was wrong, with what was."""
    found = []
    for path in sorted(GOLDEN.glob("*.json.gz")):
        document = json.loads(gzip.decompress(path.read_bytes()))
        name = path.name.removesuffix(".json.gz")
        expected = read(name, document).expected
        if not expected or set(expected) <= {"healthy", "inconclusive"}:
            continue
        memory = Memory(incident=name, title="", opened_at=START, fingerprint=print_of(name, document))
        found.append(Night(memory=memory, family=" ".join(sorted(expected))))
    return found
