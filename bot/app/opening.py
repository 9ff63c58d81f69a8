"""The one way in for incidents: by command, button, alert or patrol."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bot.app import timers
from bot.app.escalation import begin_escalation
from bot.app.parts import Parts, record
from bot.app.ports import Tx
from bot.app.summary import show_summary
from bot.domain.incident import EntryKind, Impact, Incident, IncidentState, Room
from bot.domain.playbook import Playbook
from bot.domain.text import Text

SEVERITY = "sev2"
"""Of an incident for which nobody named one."""
LOOK_BACK = timedelta(hours=6)
"""Runs of the room this far back belong to an incident that is opened in it."""


async def open_incident(
    parts: Parts,
    tx: Tx,
    *,
    title: str,
    room: Room,
    by: str,
    severity: str = SEVERITY,
    env: Sequence[str] = (),
    playbook: str | None = None,
    impact: Impact | None = None,
    at: datetime | None = None,
    escalate: bool = True,
) -> Incident:
    """Open an incident in a room that has none open, in the caller's transaction.

    Recorded, shown, the room's recent runs attached; where the severity pages and `escalate` is set, people are called.
    `playbook` is a name; without one it is the one the title or the room's latest run names. `env` and `by` are as
    people typed them. Call `parts.wake` after the commit, and carry out `bot.app.first_look.first_look`.
    """
    at = at or parts.clock.now()
    run = await tx.runs.latest(room=room.key)
    found = str(run.document.get("title", "")) if run and run.document and run.started_at > at - LOOK_BACK else ""
    title = title or found or {"zh": "未命名故障", "en": "untitled incident"}[room.lang]
    chosen = playbook or matching(parts.playbooks, title) or (run.playbook if run and found else "")
    fresh = Incident(
        id="",
        title=title,
        severity=severity,
        state=IncidentState.DECLARED,
        room=room.key,
        origin_room=room.key,
        opened_at=at,
        opened_by=by,
        playbook=chosen if chosen in parts.playbooks else "",
        environments=tuple(env),
        impact=impact or Impact(),
    )
    opened = await tx.incidents.open(timers.started(parts, fresh, await tx.now()))
    await tx.rooms.save(replace(room, incident=opened.id))
    attached = await tx.runs.attach(room=room.key, incident=opened.id, since=at - LOOK_BACK)
    text = Text(f"登记故障 {opened.id}：{opened.title}", f"declared {opened.id}: {opened.title}")
    data = {"state": opened.state.value, "severity": severity, "runs": attached, "playbook": opened.playbook}
    await record(tx, EntryKind.INCIDENT, text, at=at, actor=by, room=room.key, incident=opened.id, data=data)
    await show_summary(parts, tx, opened)
    if escalate and parts.directory.severity(severity).page:
        await begin_escalation(parts, tx, opened, actor=by)
    return opened


def matching(playbooks: Mapping[str, Playbook], title: str) -> str:
    """The playbook whose name or title stands in an incident's title; the longest such words win. "" for none."""
    words = title.lower()
    hits = []
    for name, playbook in playbooks.items():
        for word in {name.lower(), playbook.title.zh.lower(), playbook.title.en.lower()} - {""}:
            # A name is a word of its own in English; Chinese has no spaces to go by.
            edge = r"(?<![a-z0-9])" if word[0].isascii() else "", r"(?![a-z0-9])" if word[-1].isascii() else ""
            if re.search(f"{edge[0]}{re.escape(word)}{edge[1]}", words):
                hits.append((len(word), name))
    return max(hits, default=(0, ""))[1]
