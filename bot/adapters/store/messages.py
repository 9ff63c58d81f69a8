"""What was said, and which inbound messages were taken in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import inbox, messages, settings
from bot.domain.message import Message, from_json, to_json


class SqlMessages:
    """Implements `Messages`. A key names one message within its room."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, message: Message, *, at: datetime) -> int:
        """Insert, or replace the blocks of the same key; returns the revision, 1 for a new message."""
        said = {
            "author": self._session.redactor.text(message.author),
            "blocks": self._session.dump(to_json(message.blocks)),
            "edited_at": at,
        }
        insert = self._session.insert(messages).values(
            room=message.room, key=message.key, revision=1, said_at=at, **said
        )
        upsert = insert.on_conflict_do_update(
            index_elements=["room", "key"], set_={**said, "revision": messages.c.revision + 1}
        )
        revision: int = await self._session.connection.scalar(upsert.returning(messages.c.revision))
        return revision

    async def list(self, room: str, *, limit: int = 200) -> Sequence[tuple[Message, int, datetime]]:
        """(message, revision, first said at) of the room's newest messages, oldest first."""
        newest = (messages.c.said_at.desc(), messages.c.seq.desc())
        statement = select(messages).where(messages.c.room == room).order_by(*newest).limit(limit)
        rows = (await self._session.connection.execute(statement)).all()
        return [(_message(row), row.revision, row.said_at) for row in reversed(rows)]

    async def changed(self, room: str, *, since: datetime) -> Sequence[tuple[Message, int]]:
        """(message, revision) of what was said or edited since then, oldest edit first; the newest 200 of them."""
        c = messages.c
        latest = (c.edited_at.desc(), c.seq.desc())
        statement = select(messages).where(c.room == room, c.edited_at >= since).order_by(*latest).limit(200)
        rows = (await self._session.connection.execute(statement)).all()
        return [(_message(row), row.revision) for row in reversed(rows)]


def _message(row: Row[Any]) -> Message:
    return Message(key=row.key, room=row.room, blocks=from_json(load(row.blocks)), author=row.author)


class SqlInbox:
    """Implements `Inbox`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def first(self, key: str, *, at: datetime) -> bool:
        """True exactly once for each key; a rolled-back transaction leaves the key as it was."""
        insert = self._session.insert(inbox).values(key=key, at=at).on_conflict_do_nothing()
        return await self._session.connection.scalar(insert.returning(inbox.c.key)) is not None


class SqlSettings:
    """Implements `Settings`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, key: str) -> str | None:
        """The value, or None when it was never put."""
        statement = select(settings.c.value).where(settings.c.key == key)
        value: str | None = await self._session.connection.scalar(statement)
        return value

    async def put(self, key: str, value: str) -> None:
        """Insert or replace."""
        insert = self._session.insert(settings).values(key=key, value=value)
        await self._session.connection.execute(
            insert.on_conflict_do_update(index_elements=["key"], set_={"value": value})
        )

    async def swap(self, key: str, old: str, new: str) -> bool:
        """Replace the value if it still is `old`."""
        c = settings.c
        statement = settings.update().where(c.key == key, c.value == old).values(value=new)
        return (await self._session.connection.execute(statement)).rowcount == 1

    async def keep(self, key: str, value: str) -> str:
        """Insert unless it is there; returns what is there now."""
        # On PostgreSQL the insert waits for another bot's, so that the look after it finds what was committed.
        insert = self._session.insert(settings).values(key=key, value=value)
        await self._session.connection.execute(insert.on_conflict_do_nothing(index_elements=["key"]))
        return await self.get(key) or value
