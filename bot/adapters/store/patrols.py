"""Rounds of patrols, one row each, and the claim under which a round is done.

A round is one row with all its cells: 50 vantage points times 10 layers every minute are one small insert, and a
baseline reads a few hundred rows instead of millions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select

from bot.adapters.store.session import Session, dump_raw, load
from bot.adapters.store.tables import patrol_claims, patrols
from bot.domain.patrol import PatrolClaim, Round, Sample

KEPT = timedelta(days=14)
WHOLE = timedelta(days=1)
"""For so long every round is kept, and afterwards the first of each slot."""
SLOT_S = 600


class SqlPatrols:
    """Implements `Patrols`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def claim(
        self, playbooks: Collection[str], *, owner: str, every: timedelta, lease: timedelta
    ) -> PatrolClaim | None:
        """Take the round that has been due longest, unless a round is out; by the database's clock."""
        c, now = patrol_claims.c, await self._session.now()
        fresh = [{"playbook": name, "due_at": now + every, "number": 0} for name in sorted(playbooks)]
        if not fresh:
            return None
        await self._session.connection.execute(
            self._session.insert(patrol_claims).on_conflict_do_nothing(index_elements=["playbook"]), fresh
        )
        # All of them are locked, so that of several bots one at a time decides.
        statement = select(patrol_claims).order_by(c.playbook).with_for_update()
        rows = (await self._session.connection.execute(statement)).all()
        now = await self._session.now()
        if any(row.lease_until is not None and row.lease_until > now for row in rows):
            return None
        # A due time further off than one interval is from before the interval was made shorter.
        due = [row for row in rows if row.playbook in playbooks and not now < row.due_at <= now + every]
        if not due:
            return None
        first = min(due, key=lambda row: (row.due_at, row.playbook))
        taken = {"due_at": now + every, "number": first.number + 1, "owner": owner, "lease_until": now + lease}
        await self._session.connection.execute(patrol_claims.update().where(c.playbook == first.playbook).values(taken))
        return PatrolClaim(playbook=first.playbook, owner=owner, number=first.number + 1, incident=first.incident)

    async def finish(self, claim: PatrolClaim) -> bool:
        """Give the claim back, with the incident it names; False when somebody else has the playbook by now."""
        c = patrol_claims.c
        mine = (c.playbook == claim.playbook, c.number == claim.number, c.owner == claim.owner)
        values = {"owner": None, "lease_until": None, "incident": claim.incident}
        result = await self._session.connection.execute(patrol_claims.update().where(*mine).values(values))
        return result.rowcount == 1

    async def keep(self, done: Round) -> None:
        """Insert a round; a second one of the same moment is dropped."""
        cells: dict[str, dict[str, Any]] = {}
        for s in done.samples:
            ms = None if s.ms is None else round(s.ms, 1)
            cells.setdefault(s.agent, {})[s.layer] = [s.tries, s.ok, ms]
        row = {
            "playbook": done.playbook,
            "at": done.at,
            "slot": int(done.at.timestamp()) // SLOT_S,
            "red_agents": done.red_agents,
            "cells": dump_raw(cells),
        }
        insert = self._session.insert(patrols).values(row)
        await self._session.connection.execute(insert.on_conflict_do_nothing(index_elements=["playbook", "at"]))

    async def rounds(self, playbook: str, *, since: datetime, until: datetime, most: int) -> Sequence[Round]:
        """Rounds of a time, oldest first; of more than `most`, so many spread evenly over it."""
        c = patrols.c
        within = (c.playbook == playbook, c.at >= since, c.at <= until)
        count = await self._session.connection.scalar(select(func.count()).select_from(patrols).where(*within)) or 0
        stride = -(-count // most) or 1
        numbered = select(c.at, func.row_number().over(order_by=c.at).label("n")).where(*within).subquery()
        picked = select(numbered.c.at).where((numbered.c.n - 1) % stride == 0)
        statement = select(patrols).where(*within, c.at.in_(picked)).order_by(c.at)
        return [_round(row) for row in await self._session.connection.execute(statement)]

    async def lately(self, playbook: str, *, since: datetime, most: int) -> Sequence[int]:
        """From how many vantage points the newest rounds since then saw something red, newest first."""
        c = patrols.c
        statement = select(c.red_agents).where(c.playbook == playbook, c.at >= since).order_by(c.at.desc()).limit(most)
        return list((await self._session.connection.execute(statement)).scalars())

    async def prune(self) -> None:
        """Drop what is older than 14 days, and of what is older than a day all but one round in ten minutes."""
        now = await self._session.now()
        earlier = patrols.alias("earlier")
        first = select(earlier.c.at).where(
            earlier.c.playbook == patrols.c.playbook, earlier.c.slot == patrols.c.slot, earlier.c.at < patrols.c.at
        )
        await self._session.connection.execute(delete(patrols).where(patrols.c.at < now - KEPT))
        await self._session.connection.execute(delete(patrols).where(patrols.c.at < now - WHOLE, first.exists()))


def _round(row: Row[Any]) -> Round:
    at = row.at
    samples = tuple(
        Sample(at=at, agent=agent, layer=layer, tries=tries, ok=ok, ms=ms)
        for agent, layers in load(row.cells).items()
        for layer, (tries, ok, ms) in layers.items()
    )
    return Round(playbook=row.playbook, at=row.at, samples=samples, red_agents=row.red_agents)
