"""Changes that others tell us of: kept, and put on the timeline of every open incident they may have to do with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bot.app.parts import Parts, record
from bot.app.ports import Store, Tx
from bot.domain.change import Change, ChangeKind, Posted
from bot.domain.incident import EntryKind, Incident
from bot.domain.text import Text

KINDS: dict[ChangeKind, Text] = {
    ChangeKind.DEPLOY: Text("发布", "deploy"),
    ChangeKind.PERMISSION: Text("权限变更", "permission change"),
    ChangeKind.CONFIG: Text("配置变更", "configuration change"),
    ChangeKind.OTHER: Text("变更", "change"),
}


async def take(parts: Parts, posted: Posted) -> int:
    """Keep what is new; returns how many were. A delivery or a change that was taken before does nothing again."""
    async with parts.store.begin() as tx:
        delivery = f"change:{posted.source}:{posted.delivery}"
        if posted.delivery and not await tx.inbox.first(delivery, at=parts.clock.now()):
            return 0
        new = [change for change in posted.changes if await tx.changes.add(change)]
        for incident in await tx.incidents.list(only_open=True) if new else ():
            envs = await _envs(tx, incident)
            for change in new:
                if not change.env or not envs or change.env in envs:
                    await _tell(tx, incident, change)
    return len(new)


async def recent(store: Store, *, since: datetime) -> Sequence[Change]:
    """What was changed since a moment, newest first."""
    async with store.begin() as tx:
        return await tx.changes.recent(since=since)


def line(change: Change) -> Text:
    """A change as the timeline has it."""
    where = ", ".join(filter(None, (change.service, change.env)))
    rest = f"{change.title}{f' ({where})' if where else ''}{f' {change.url}' if change.url else ''}"
    kind = KINDS[change.kind]
    return Text(f"{kind.zh}：{rest}", f"{kind.en}: {rest}")


async def _envs(tx: Tx, incident: Incident) -> set[str]:
    """The environments that the incident's last run looked at; none where nobody knows."""
    for room in (incident.room, incident.origin_room):
        run = await tx.runs.latest(room=room)
        if run is not None and run.document is not None:
            return {str(agent["env"]) for agent in run.document.get("agents", ()) if agent.get("env")}
    return set()


async def _tell(tx: Tx, incident: Incident, change: Change) -> None:
    await record(
        tx,
        EntryKind.CHANGE,
        line(change),
        at=change.at,
        actor=change.who or change.source,
        room=incident.room,
        incident=incident.id,
        data=change.to_json(),
    )
