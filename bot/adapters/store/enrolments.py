"""Which agents are known by which keys, and who is invited."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select

from bot.adapters.store.session import Session
from bot.adapters.store.tables import enrolled, invitations
from bot.domain.enrolment import Enrolled, Invitation


class SqlEnrolments:
    """Implements `Enrolments`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, name: str) -> Enrolled | None:
        """The agent of that name, locked until the transaction ends where the database can."""
        statement = select(enrolled).where(enrolled.c.name == name).with_for_update()
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return Enrolled(**row) if row else None

    async def put(self, agent: Enrolled) -> None:
        """Insert, in place of an earlier key of that name."""
        row = dataclasses.asdict(agent)
        insert = self._session.insert(enrolled).values(row)
        await self._session.connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=row))

    async def list(self) -> Sequence[Enrolled]:
        """All of them, by name."""
        statement = select(enrolled).order_by(enrolled.c.name)
        return [Enrolled(**row) for row in (await self._session.connection.execute(statement)).mappings()]

    async def remove(self, name: str) -> bool:
        """Take a key away; False when the name is unknown."""
        result = await self._session.connection.execute(delete(enrolled).where(enrolled.c.name == name))
        return result.rowcount == 1

    async def invite(self, invitation: Invitation) -> None:
        """Insert, and sweep out what nobody can use any more."""
        over = or_(invitations.c.expires_at < invitation.made_at, invitations.c.used_at.is_not(None))
        await self._session.connection.execute(delete(invitations).where(over))
        await self._session.connection.execute(invitations.insert().values(dataclasses.asdict(invitation)))

    async def invited(self, ident: str) -> Invitation | None:
        """An invitation, used or not."""
        statement = select(invitations).where(invitations.c.id == ident)
        row = (await self._session.connection.execute(statement)).mappings().one_or_none()
        return Invitation(**row) if row else None

    async def redeem(self, ident: str, *, at: datetime) -> bool:
        """Use an invitation up; True exactly once, and only before it expires."""
        free = (invitations.c.id == ident, invitations.c.used_at.is_(None), invitations.c.expires_at > at)
        result = await self._session.connection.execute(invitations.update().where(*free).values(used_at=at))
        return result.rowcount == 1
