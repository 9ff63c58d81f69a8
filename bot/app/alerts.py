"""Alerts taken in: the same one again is no news, a storm is one incident, and what fires is looked at at once.

One transaction for each delivery: what is known, which incidents, the timeline, the card, and where a new incident
pages, its escalation. Locks are taken in one order: the source, known incidents by id, the
number of a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bot.app.alert_card import show_alerts
from bot.app.alert_sources import AlertSource
from bot.app.first_look import first_look
from bot.app.grading import call_people, regrade
from bot.app.incident_words import regraded
from bot.app.opening import open_incident
from bot.app.parts import Parts, Then, record
from bot.app.ports import Tx
from bot.app.rooms import open_in, room_of
from bot.app.summary import show_summary
from bot.domain.alert import Alert, AlertStatus, KeptAlert, join
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind, Incident, Room
from bot.domain.severity import gravest
from bot.domain.text import Text, same

NAMED = 5
"""Alerts a line of the timeline names."""


@dataclass(kw_only=True)
class Taken:
    """What came of a delivery: incidents by id."""

    opened: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    known: int = 0
    """Alerts that were told before, or that end what nobody had heard of."""

    def to_json(self) -> dict[str, object]:
        """The answer to the sender."""
        return {"opened": self.opened, "joined": self.joined, "known": self.known}


async def receive(parts: Parts, source: AlertSource, alerts: Sequence[Alert]) -> dict[str, object]:
    """Take in a delivery, or keep it on the disk while the database is away; the answer to the sender.

    Raises StoreUnavailable when the disk does not take it either: the sender tries again.
    """
    try:
        return (await take(parts, source, alerts)).to_json()
    except StoreUnavailable:
        if not await _keep(parts, source, alerts):
            raise
        return {"kept": len(alerts)}


async def merge(parts: Parts, source: AlertSource, row: Mapping[str, Any]) -> None:
    """Take in what was kept. Raises StoreUnavailable."""
    await take(parts, source, [Alert.from_json(alert) for alert in row["alerts"]])


async def _keep(parts: Parts, source: AlertSource, alerts: Sequence[Alert]) -> bool:
    """The delivery as it is, and what calls people: one document for each incident it would be.

    Every bot that is told of it gives it the same keys, so that people are called once.
    """
    calling: dict[str, Alert] = {}
    for alert in alerts:
        if alert.status is AlertStatus.FIRING and parts.directory.severity(alert.severity).page:
            group = source.rules.group(alert)
            if group in calling or len(calling) < source.rules.most:
                first = calling.setdefault(group, alert)
                calling[group] = replace(first, severity=gravest((first.severity, alert.severity)))
    for group, alert in calling.items():
        key = f"{source.name}:{group}"
        row = {"alert": key, "source": source.name, "title": alert.title, "severity": alert.severity}
        if not await parts.keep("alert", key, {**row, "alerts": [alert.to_json()]}):
            return False
    rows = [alert.to_json() for alert in alerts]
    ident = hashlib.sha256(json.dumps([[r["key"], r["status"]] for r in rows]).encode()).hexdigest()[:32]
    return await parts.keep("alerts", f"{source.name}:{ident}", {"source": source.name, "alerts": rows})


async def take(parts: Parts, source: AlertSource, alerts: Sequence[Alert]) -> Taken:
    """Take in one delivery of a source. Raises StoreUnavailable; then nothing of it was taken."""
    taken = Taken()
    later: list[Then] = []
    async with parts.store.begin() as tx:
        await tx.alerts.lock(source.name)
        plan = await _plan(parts, tx, source, _latest(alerts), taken)
        known = await _locked(tx, source, plan)
        for news in plan.fresh:
            incident = await _opened(parts, tx, source, news)
            taken.opened.append(incident.id)
            then = await first_look(parts, tx, incident, by=source.name)
            later += [then] if then is not None else []
        for ident in sorted(plan.joined):
            if ident in known:
                taken.joined.append(ident)
                await _tell(parts, tx, known[ident], plan.joined[ident])
    parts.wake()
    for then in later:
        await then()
    return taken


async def _locked(tx: Tx, source: AlertSource, plan: _Plan) -> dict[str, Incident]:
    """The incidents there are already that this delivery may touch, the one in the source's room included.

    Before a new one is numbered, since other deliveries wait for the numbers.
    """
    room = await tx.rooms.get(source.room)
    idents = {*plan.joined, *((room.incident,) if room and room.incident else ())}
    found = [await tx.incidents.get(ident) for ident in sorted(idents)]
    return {incident.id: incident for incident in found if incident is not None}


def _latest(alerts: Sequence[Alert]) -> Sequence[Alert]:
    """The last word on each key."""
    return list({alert.key: alert for alert in alerts}.values())


@dataclass(kw_only=True)
class _Fresh:
    """The alerts that are one new incident."""

    group: str
    alerts: list[Alert] = field(default_factory=list)


@dataclass(kw_only=True)
class _News:
    """Alerts of one incident to keep, and which of them tell what was not known."""

    kept: list[KeptAlert] = field(default_factory=list)
    changed: list[Alert] = field(default_factory=list)

    def add(self, kept: KeptAlert, *, changed: bool) -> None:
        self.kept.append(kept)
        if changed:
            self.changed.append(kept.alert)


@dataclass(kw_only=True)
class _Plan:
    fresh: list[_Fresh] = field(default_factory=list)
    joined: defaultdict[str, _News] = field(default_factory=lambda: defaultdict(_News))


async def _plan(parts: Parts, tx: Tx, source: AlertSource, alerts: Sequence[Alert], taken: Taken) -> _Plan:
    """Where each alert belongs: nothing is locked or written yet."""
    now, plan, rules = parts.clock.now(), _Plan(), source.rules
    known = await tx.alerts.get(source.name, [a.key for a in alerts])
    groups = list(await tx.alerts.groups(source.name))
    open_ones = {g.incident for g in groups}
    fresh: dict[str, _Fresh] = {}
    for alert in alerts:
        before, group = known.get(alert.key), rules.group(alert)
        ours = before is not None and before.incident in open_ones
        if before is not None and ours:
            told_again = before.alert.status is alert.status
            kept = replace(before, alert=alert, last_at=now, times=before.times + (not told_again))
            plan.joined[before.incident].add(kept, changed=not told_again)
            taken.known += told_again
        elif alert.status is AlertStatus.RESOLVED:
            taken.known += 1
        elif incident := join(alert, groups, rules, now):
            kept = KeptAlert(alert=alert, group=group, incident=incident, first_at=now, last_at=now)
            plan.joined[incident].add(kept, changed=True)
        else:
            one = fresh.get(group) or (list(fresh.values())[-1] if len(fresh) >= rules.most else _Fresh(group=group))
            one.alerts.append(alert)
            fresh[one.group] = one
    plan.fresh = list(fresh.values())
    return plan


async def _opened(parts: Parts, tx: Tx, source: AlertSource, news: _Fresh) -> Incident:
    first = news.alerts[0]
    room = await _free_room(parts, tx, source, first)
    incident = await open_incident(
        parts,
        tx,
        title=first.title if len(news.alerts) == 1 else _many(first.title, len(news.alerts)).in_(room.lang),
        severity=gravest(alert.severity for alert in news.alerts),
        room=room,
        by=source.name,
        env=[env] if (env := first.labels.get("env") or first.labels.get("environment")) else [],
        playbook=next((a.playbook for a in news.alerts if a.playbook), None),
    )
    now = parts.clock.now()
    kept = [KeptAlert(alert=a, group=news.group, incident=incident.id, first_at=now, last_at=now) for a in news.alerts]
    await _tell(parts, tx, incident, _News(kept=kept, changed=news.alerts))
    return incident


def _many(title: str, number: int) -> Text:
    return Text(f"{title} 等 {number} 条告警", f"{title} and {number - 1} more alerts")


async def _free_room(parts: Parts, tx: Tx, source: AlertSource, alert: Alert) -> Room:
    """The source's room; while that works on another incident, one for this alert."""
    room = await room_of(parts, tx, source.room)
    if await open_in(tx, room) is None:
        return replace(room, incident=None)
    own = await room_of(parts, tx, f"console:{parts.new_id(source.name)}")
    return replace(own, title=alert.title[:50])


async def _tell(parts: Parts, tx: Tx, incident: Incident, news: _News) -> None:
    """Keep alerts of an incident that is locked; record what is new, raise its severity if need be, draw the card."""
    await tx.alerts.put(news.kept)
    if not (changed := news.changed):
        return
    now = parts.clock.now()
    for status in AlertStatus:
        mine = [alert for alert in changed if alert.status is status]
        if mine:
            await _record(tx, incident, mine, status, at=now)
    severity = gravest((incident.severity, *(a.severity for a in changed if a.status is AlertStatus.FIRING)))
    if severity != incident.severity:
        await _raise(parts, tx, incident, severity, by=changed[0].source)
    await show_alerts(parts, tx, incident)


async def _raise(parts: Parts, tx: Tx, incident: Incident, severity: str, *, by: str) -> None:
    then = await regrade(parts, tx, incident, severity)
    await tx.incidents.save(then)
    was = incident.severity
    text = regraded(then, was=was) + Text("（告警）", " (an alert)")
    data = {"severity": severity, "was": was}
    at = parts.clock.now()
    await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=then.room, incident=then.id, data=data)
    await call_people(parts, tx, then, was=was, by=by)
    await show_summary(parts, tx, then)


async def _record(tx: Tx, incident: Incident, alerts: Sequence[Alert], status: AlertStatus, *, at: datetime) -> None:
    names = "; ".join(a.title for a in alerts[:NAMED])
    rest = len(alerts) - NAMED
    more = Text(f" 等 {len(alerts)} 条", f" and {rest} more") if rest > 0 else Text("", "")
    what = {
        AlertStatus.FIRING: Text("告警触发：", "alert firing: "),
        AlertStatus.RESOLVED: Text("告警恢复：", "alert over: "),
    }[status]
    data = {"status": status.value, "keys": [a.key for a in alerts[:100]], "alerts": len(alerts)}
    await record(
        tx,
        EntryKind.ALERT,
        what + same(names) + more,
        at=at,
        actor=alerts[0].source,
        room=incident.room,
        incident=incident.id,
        data=data,
    )
