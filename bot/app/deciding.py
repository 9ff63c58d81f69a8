"""What would decide it: an open verdict asks for what nobody measured, and never states it.

A piece of evidence is open where its expression rests on a fact that is absent. The first such fact is put as a
question, with the place it is about and why there is no answer yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.app.asking import ABOUT, CLOCK, FIELDS, LAYERS, SLOWER, TIMES
from bot.app.missing import wanted
from bot.diagnosis.expressions import paths
from bot.diagnosis.facts import Picture
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE, Finding, Ranked
from bot.diagnosis.investigation import Investigation
from bot.diagnosis.pinned import ADDRESS_GROUPS
from bot.domain.layers import BY_ID
from bot.domain.message import Bullets
from bot.domain.probe import Agent
from bot.domain.text import Text, join, same, tight

SURE = 0.6
"""Below this share the words are "leaning to", and what would decide it is said."""
MOST = 3
"""Questions on a card."""
NAMED = 2
"""So many vantage points are named one by one; more are told by their place."""
PROBES: Mapping[str, str] = {
    "top": "dns_top",
    "mtu": "mtu",
    "trace": "trace",
    "coredns": "coredns",
    "status": "status_page",
    "changes": "changes",
}
"""A follow-up's group of facts -> the probe kind that gives it."""

ELSEWHERE: Mapping[str, str] = {"near_told_same": "near", "own_far": "outside"}
"""Facts of the inside that the vantage points of another group measure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What to find out. `evidence` and `hypothesis` are the ids it is open for, "" for a gap to be closed."""

    text: Text
    hypothesis: str = ""
    evidence: str = ""


def questions(run: Investigation) -> tuple[Question, ...]:
    """The heaviest open questions of an unsure verdict; none of a sure one."""
    verdict = run.verdict()
    if verdict.share >= SURE and verdict.ids != (INCONCLUSIVE,):
        return ()
    gaps = [Question(text=wanted(gap)) for gap in run.gaps()]
    if verdict.ids == (INCONCLUSIVE,) and gaps:
        return tuple(gaps[:MOST])
    # Where the vantage points themselves are silent, the question says so; the gap adds what to do about it.
    asked = _open(run)[: MOST - min(len(gaps), 1)]
    return (*asked, *gaps)[:MOST]


def blocks(run: Investigation) -> list[Bullets]:
    """The questions as the card shows them; none where the verdict is sure or nothing is open."""
    found = tuple(one.text for one in questions(run))
    return [Bullets(items=found, label=Text("还要弄清", "What would decide it"))] if found else []


def _open(run: Investigation) -> list[Question]:
    """Open evidence of the two leading causes as questions, each asked once, heaviest first."""
    seen = run.picture()
    told: dict[Text, Question] = {}
    leaders = [r for r in run.verdict().ranked if r.hypothesis.id != HEALTHY or r.share >= SURE / 2][:2]
    for ranked, finding in unknowns(leaders):
        text = question(run, seen, ranked, finding)
        if text is not None and text not in told:
            told[text] = Question(text=text, hypothesis=ranked.hypothesis.id, evidence=finding.evidence.id)
    return list(told.values())


def unknowns(ranked: Sequence[Ranked]) -> list[tuple[Ranked, Finding]]:
    """Evidence nobody could measure, heaviest first."""
    found = [(r, f) for r in ranked for f in r.findings if f.holds is None]
    return sorted(found, key=lambda p: -(abs(p[1].evidence.yes) + abs(p[1].evidence.no)))


def question(run: Investigation, seen: Picture, ranked: Ranked, finding: Finding) -> Text | None:
    """One open finding as a question; None where there are no words for what it rests on."""
    absent = [path for path in paths(finding.evidence.when.source) if _absent(path, ranked.facts)]
    if not absent:
        return None
    wanted_here = {cell.layer for cell in seen.cells} | {f for f, kind in PROBES.items() if _in_playbook(run, kind)}
    first = min(absent, key=lambda path: _key(path) not in wanted_here)
    group, key = _group(first), _key(first)
    asked = _ask(first, ranked)
    if asked is None:
        return None
    where = ranked.scope.place if key in FIELDS else _place(group, ranked, seen)
    zh = tight(asked.zh.replace("{place}", where.zh))
    why = _why_open(first, ELSEWHERE.get(key, group), key, ranked, run)
    return Text(f"{zh}（{why.zh}）", f"{asked.en.replace('{place}', where.en)} ({why.en})")


def _ask(path: str, ranked: Ranked) -> Text | None:
    """The question for one absent fact, with {place} in it; None where there is nothing to ask.

    Whether an address of its own works is asked only where the inside is known to be told one.
    """
    group, key, field = _group(path), _key(path), path.rpartition(".")[2]
    if key in BY_ID and _known(f"{group}.{key}", ranked.facts):
        if field in TIMES:
            layer = BY_ID[key].title
            return Text(SLOWER.zh.replace("{layer}", layer.zh), SLOWER.en.replace("{layer}", layer.en))
        if field == "skew_ms":
            return CLOCK
    if key in ADDRESS_GROUPS:
        if not _known("inside.odd_answers", ranked.facts):
            return FIELDS["odd_answers"]
        if not ranked.facts["inside"]["odd_answers"]:
            return None
    return LAYERS.get(key) or FIELDS.get(key) or ABOUT.get(key)


def _why_open(path: str, group: str, key: str, ranked: Ranked, run: Investigation) -> Text:
    field = path.rpartition(".")[2]
    if key in BY_ID and field in TIMES and _known(f"{group}.{key}", ranked.facts):
        return Text("没有平时的数据可比", "no baseline to compare with")
    agents = _members(group, ranked, run.agents)
    if not agents:
        return Text("那里没有观测点", "no vantage point there")
    silent = [a.name for a in agents if a.name in run.missing()]
    if len(silent) == len(agents):
        return Text("那里的观测点没有应答", "the vantage points there did not answer")
    if silent and key in FIELDS:
        return Text(f"{'、'.join(silent)} 没有应答", f"no answer from {', '.join(silent)}")
    tried = {o.kind for o in run.observations()}
    layers = {c.layer for c in run.picture().cells if c.agent in {a.name for a in agents}}
    if PROBES.get(key) in tried or key in layers:
        return Text("测了，没有结果", "asked, without a result")
    return Text("没有测", "not measured")


def _place(group: str, ranked: Ranked, seen: Picture) -> Text:
    agents = _members(group, ranked, seen.agents)
    if 0 < len(agents) <= NAMED and group != "all":
        names = [same(f"{a.region} {a.vantage}") for a in agents]
        return join(list(dict.fromkeys(names)), zh="、", en=" and ")
    scope = ranked.scope
    if group in ("pods", "vms"):
        what = Text("pod", "pods") if group == "pods" else Text("虚拟机", "VMs")
        return Text(f"{scope.place.zh} 的{what.zh}", f"the {what.en} of {scope.place.en}")
    return {
        "outside": Text("别处", "elsewhere"),
        "near": Text(f"{scope.region} 的另一个 VPC", f"another VPC of {scope.region}"),
        "far": Text("别的地域", "another region"),
        "all": Text("各观测点", "the vantage points"),
    }.get(group, scope.place if scope.kind != "everywhere" else Text("各观测点", "the vantage points"))


def _members(group: str, ranked: Ranked, agents: Sequence[Agent]) -> list[Agent]:
    """The vantage points a group of facts is about, as `facts` has it."""
    scope = ranked.scope
    holds: Callable[[Agent], bool] = {
        "inside": lambda a: a.name in scope.agents,
        "outside": lambda a: a.name not in scope.agents,
        "near": lambda a: a.name not in scope.agents and a.region == scope.region,
        "far": lambda a: a.name not in scope.agents and a.region != scope.region,
        "pods": lambda a: a.name in scope.agents and a.vantage == "pod",
        "vms": lambda a: a.name in scope.agents and a.vantage != "pod",
    }.get(group, lambda a: bool(a.name))
    return [a for a in agents if holds(a)]


def _in_playbook(run: Investigation, kind: str) -> bool:
    return any(step.kind == kind for step in run.playbook.then)


def _group(path: str) -> str:
    return path.partition(".")[0]


def _key(path: str) -> str:
    """The layer or the follow-up's group a path reads; "changes" stands by itself."""
    return "changes" if path.startswith("changes.") else path.split(".")[1]


def _absent(path: str, facts: Mapping[str, Any]) -> bool:
    return path != "missing" and not _known(path, facts)


def _known(path: str, facts: Mapping[str, Any]) -> bool:
    value: Any = facts
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return True
