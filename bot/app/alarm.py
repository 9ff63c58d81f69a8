"""A patrol that keeps failing opens an incident by itself, where `[patrol]` allows it: one for each playbook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.app.first_look import first_look
from bot.app.opening import open_incident
from bot.app.parts import Parts, Then, say
from bot.app.ports import Tx
from bot.app.rooms import open_in, room_of
from bot.domain.incident import Room
from bot.domain.message import Header, Message
from bot.domain.patrol import PatrolClaim, PatrolRules
from bot.domain.playbook import Playbook
from bot.domain.text import Text

ACTOR = "patrol"
LOOK_BACK = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """What came of a round: the incident that is the playbook's now, and what to do after the commit."""

    incident: str | None
    then: Then | None = None


async def consider(
    parts: Parts, tx: Tx, rules: PatrolRules, claim: PatrolClaim, playbook: Playbook, *, at: datetime
) -> Alarm:
    """Open an incident if the last rounds are reason enough and the playbook has none open.

    Rounds before its last one was resolved do not count again.
    """
    quiet = Alarm(incident=claim.incident)
    if not rules.open_incidents:
        return quiet
    last = await tx.incidents.get(claim.incident) if claim.incident else None
    if last is not None and last.is_open:
        return quiet
    since = (last.resolved_at if last else None) or at - LOOK_BACK
    counts = await tx.patrols.lately(playbook.name, since=since, most=rules.of)
    if not rules.failing(counts) or await _taken_on(tx, playbook):
        return quiet
    return await _open(parts, tx, rules, playbook, at=at)


async def _taken_on(tx: Tx, playbook: Playbook) -> bool:
    """Whether people have an incident open about this playbook already."""
    for incident in await tx.incidents.list(only_open=True):
        for key in (incident.room, incident.origin_room):
            run = await tx.runs.latest(room=key, playbook=playbook.name)
            if run is not None and run.incident == incident.id:
                return True
    return False


async def _open(parts: Parts, tx: Tx, rules: PatrolRules, playbook: Playbook, *, at: datetime) -> Alarm:
    room = await _free_room(parts, tx, rules.room, playbook)
    opened = await open_incident(
        parts, tx, title=playbook.title.in_(room.lang), room=room, by=ACTOR, playbook=playbook.name, at=at
    )
    why = Text(
        f"巡检：{playbook.title.zh}——最近 {rules.of} 轮里至少 {rules.rounds} 轮、每轮至少 {rules.vantage_points} "
        f"个观测点异常；已登记 {opened.id}",
        f"patrol: {playbook.title.en}: in at least {rules.rounds} of the last {rules.of} rounds, at least "
        f"{rules.vantage_points} vantage points saw it fail; opened {opened.id}",
    )
    for key in dict.fromkeys((room.key, rules.room)):
        told = Message(key=parts.new_id("msg"), room=key, blocks=(Header(text=why, tone="bad"),))
        await say(parts, tx, told, incident=opened.id)
    return Alarm(incident=opened.id, then=await first_look(parts, tx, opened, by=ACTOR))


async def _free_room(parts: Parts, tx: Tx, key: str, playbook: Playbook) -> Room:
    """The room of the rules; one of the playbook's own while that has another incident to deal with."""
    room = await room_of(parts, tx, key)
    if await open_in(tx, room) is None:
        return room
    own = await room_of(parts, tx, f"console:patrol-{playbook.name}")
    return replace(own, incident=None)
