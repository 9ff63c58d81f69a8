"""When what happened, and how long it took."""

from __future__ import annotations

from datetime import datetime

from bot.app import words
from bot.app.postmortem.facts import Facts
from bot.app.postmortem.model import Measure, Moment
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE
from bot.domain.incident import EntryKind
from bot.domain.text import Text

NEVER = Text("没有发生", "did not happen")


def began_at(facts: Facts) -> datetime:
    """The first that is known of it: seen by patrols, an alert, the first run, or the declaration."""
    known = [facts.incident.opened_at, *(run.started_at for run in facts.runs)]
    known += [entry.at for entry in facts.of(EntryKind.ALERT)]
    for _, document in facts.found:
        if onset := document.get("onset"):
            known.append(datetime.fromisoformat(onset["to"]))
    return min(known)


def noticed_at(facts: Facts) -> datetime:
    """When somebody or something first told Warroom: an alert, a run, the declaration."""
    known = [facts.incident.opened_at, *(run.started_at for run in facts.runs)]
    return min([*known, *(entry.at for entry in facts.of(EntryKind.ALERT))])


def diagnosed_at(facts: Facts) -> datetime | None:
    """When the cause that stands was first named."""
    final = facts.verdict()
    if final is None:
        return None
    same = [run for run, document in facts.found if document["verdict"] == final[1]["verdict"]]
    return same[0].finished_at or same[0].started_at


def acknowledged_at(facts: Facts) -> datetime | None:
    """When somebody first had it; the incident itself forgets that when it is reopened."""
    first = next(iter(facts.of(EntryKind.ACK)), None)
    return first.at if first is not None else facts.incident.acked_at


def moments(facts: Facts) -> tuple[Moment, ...]:
    """What a reader looks for first, in the order in which it happened."""
    incident, acks = facts.incident, facts.of(EntryKind.ACK)
    found = [Moment(id="declared", title=Text("登记", "declared"), at=incident.opened_at, by=incident.opened_by)]
    began, noticed = began_at(facts), noticed_at(facts)
    if began < noticed:
        found.append(Moment(id="began", title=Text("开始（巡检所见）", "began, as patrols saw it"), at=began))
    if noticed < incident.opened_at:
        found.append(Moment(id="noticed", title=Text("第一次发现", "first noticed"), at=noticed))
    if (at := acknowledged_at(facts)) is not None:
        by = acks[0].actor if acks else incident.acked_by or ""
        found.append(Moment(id="acknowledged", title=Text("有人接手", "acknowledged"), at=at, by=by))
    if (at := diagnosed_at(facts)) is not None:
        found.append(Moment(id="diagnosed", title=Text("找到原因", "cause named"), at=at))
    mitigated = [e for e in facts.of(EntryKind.INCIDENT) if e.data.get("state") == "mitigated"]
    if mitigated:
        last = mitigated[-1]
        found.append(Moment(id="mitigated", title=Text("缓解", "mitigated"), at=last.at, by=last.actor))
    if facts.of(EntryKind.RECOVERY) and (at := facts.recovered_at) is not None:
        found.append(Moment(id="recovered", title=Text("恢复（实测全绿）", "recovered, seen green"), at=at))
    if incident.resolved_at is not None:
        said = [e.actor for e in facts.of(EntryKind.INCIDENT) if e.data.get("state") == "resolved"]
        by = said[-1] if said else ""
        found.append(Moment(id="resolved", title=Text("宣布解决", "resolved"), at=incident.resolved_at, by=by))
    return tuple(sorted(found, key=lambda m: m.at))


def measures(facts: Facts) -> tuple[Measure, ...]:
    """The figures that reports add up, from the first notice on; the acknowledgement counts from the declaration."""
    noticed = noticed_at(facts)
    first_run = facts.runs[0].started_at if facts.runs else None
    return (
        _measure(
            "time_to_acknowledge",
            Text("接手用时（MTTA）", "time to acknowledge (MTTA)"),
            facts.incident.opened_at,
            acknowledged_at(facts),
        ),
        _measure("time_to_first_look", Text("到第一次诊断", "time to the first /diag"), noticed, first_run),
        _measure("time_to_diagnosis", Text("定位用时", "time to diagnosis"), noticed, diagnosed_at(facts)),
        _measure("time_to_recovery", Text("恢复用时（MTTR）", "time to recovery (MTTR)"), noticed, facts.recovered_at),
        _measure("duration", Text("影响持续", "duration of the impact"), began_at(facts), facts.recovered_at),
    )


def named(document_verdict: list[str]) -> bool:
    """Whether a verdict names a cause."""
    return bool(set(document_verdict) - {HEALTHY, INCONCLUSIVE})


def _measure(name: str, title: Text, since: datetime, until: datetime | None) -> Measure:
    if until is None:
        return Measure(id=name, title=title, seconds=None, text=NEVER)
    seconds = max(0.0, round((until - since).total_seconds(), 1))
    return Measure(id=name, title=title, seconds=seconds, text=words.duration(seconds))
