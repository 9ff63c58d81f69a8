"""What is remembered of incidents: one row for each, made anew whenever more is known."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from bot.adapters.store.incidents import read_incident
from bot.adapters.store.session import Session, load
from bot.adapters.store.tables import incidents, memories
from bot.diagnosis.fingerprint import Fingerprint
from bot.diagnosis.similar import Memory
from bot.domain.incident import Incident, IncidentState
from bot.domain.text import Text

OVER = (IncidentState.RESOLVED.value, IncidentState.CLOSED.value)


class SqlMemories:
    """Implements `Memories`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, memory: Memory) -> None:
        """Insert, in place of what was remembered before."""
        document = {
            "title": memory.title,
            "service": memory.service,
            "words": memory.words,
            "fingerprint": memory.fingerprint.to_json(),
            "causes": list(memory.causes),
            "beliefs": dict(memory.beliefs),
            "cause": memory.cause.to_json(),
            "fix": memory.fix.to_json(),
            "lasted_s": memory.lasted_s,
        }
        row = {"opened_at": memory.opened_at, "document": self._session.dump(document)}
        statement = self._session.insert(memories).values(incident=memory.incident, **row)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["incident"], set_=row))

    async def recent(self, *, limit: int) -> Sequence[Memory]:
        """The newest first."""
        statement = select(memories).order_by(memories.c.opened_at.desc(), memories.c.incident.desc()).limit(limit)
        rows = await self._session.connection.execute(statement)
        return [_memory(row.incident, row.opened_at, load(row.document)) for row in rows]

    async def missing(self, *, limit: int) -> Sequence[Incident]:
        """Incidents that are over and not remembered, the newest first; merged duplicates have nothing to tell."""
        statement = (
            select(incidents)
            .outerjoin(memories, memories.c.incident == incidents.c.id)
            .where(memories.c.incident.is_(None), incidents.c.state.in_(OVER), incidents.c.merged_into.is_(None))
            .order_by(incidents.c.opened_at.desc())
            .limit(limit)
        )
        rows = (await self._session.connection.execute(statement)).mappings()
        return [read_incident(row) for row in rows]


def _memory(incident: str, opened_at: object, row: dict[str, object]) -> Memory:
    known = {name: row[name] for name in ("title", "service", "words", "beliefs", "lasted_s")}
    cause, fix = (Text(**row[name]) for name in ("cause", "fix"))  # type: ignore[arg-type]
    print_ = Fingerprint.from_json(row["fingerprint"])  # type: ignore[arg-type]
    causes = tuple(row["causes"])  # type: ignore[arg-type, var-annotated]
    return Memory(
        incident=incident,
        opened_at=opened_at,  # type: ignore[arg-type]
        fingerprint=print_,
        causes=causes,
        cause=cause,
        fix=fix,
        **known,  # type: ignore[arg-type]
    )
