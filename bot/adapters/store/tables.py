"""The tables as SQLAlchemy Core sees them; `migrations/` creates them, and a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, kept as UTC and always read back aware. Refuses naive ones with ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite knows no time zones: it gets UTC without one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime must not reach the database: {value!r}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Aware, UTC."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
Serial = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

counters = Table(
    "counters", metadata, Column("name", String, primary_key=True), Column("value", Integer, nullable=False)
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, primary_key=True),
    Column("title", Text, nullable=False),
    Column("severity", String, nullable=False),
    Column("state", String, nullable=False),
    Column("room", String, nullable=False),
    Column("origin_room", String, nullable=False),
    Column("opened_at", UtcTime, nullable=False),
    Column("opened_by", String, nullable=False),
    Column("resolved_at", UtcTime),
    Column("acked_at", UtcTime),
    Column("acked_by", String),
    Column("epoch", Integer, nullable=False),
    Column("playbook", String, nullable=False),
    Column("roles", Text, nullable=False),
    Column("environments", Text, nullable=False),
    Column("impact", Text, nullable=False),
    Column("update", Text),
    Column("vendors", Text, nullable=False),
    Column("merged_into", String),
    Column("update_due_at", UtcTime),
    Column("commander_due_at", UtcTime),
    Column("snoozed", UtcTime),
    Index("incidents_by_state", "state", "opened_at"),
    Index("incidents_update_due", "update_due_at"),
    Index("incidents_commander_due", "commander_due_at"),
)

rooms = Table(
    "rooms",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False),
    Column("platform", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("lang", String, nullable=False),
    Column("incident", String, ForeignKey("incidents.id", name="rooms_incident_fkey")),
    Column("mirror_of", String),
    UniqueConstraint("key", name="rooms_key"),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("playbook", String, nullable=False),
    Column("room", String, nullable=False),
    Column("user", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("incident", String, ForeignKey("incidents.id", name="runs_incident_fkey")),
    Column("finished_at", UtcTime),
    Column("document", Text),
    Index("runs_by_room", "room", "started_at"),
    Index("runs_by_incident", "incident"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("recorded_at", UtcTime, nullable=False),
    Column("actor", String, nullable=False),
    Column("room", String, nullable=False),
    Column("incident", String),
    Column("run", String),
    Column("zh", Text, nullable=False),
    Column("en", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("chain", String),
    Column("link", Integer),
    Column("hash", String),
    Index("timeline_by_chain", "chain", "link", unique=True),
    Index("timeline_by_incident", "incident", "seq"),
    Index("timeline_by_room", "room", "seq"),
    Index("timeline_by_run", "run"),
    sqlite_autoincrement=True,
)

chains = Table(
    "chains",
    metadata,
    Column("name", String, primary_key=True),
    Column("length", Integer, nullable=False),
    Column("head", String, nullable=False),
)

memories = Table(
    "memories",
    metadata,
    Column("incident", String, ForeignKey("incidents.id", name="memories_incident_fkey"), primary_key=True),
    Column("opened_at", UtcTime, nullable=False),
    Column("document", Text, nullable=False),
    Index("memories_by_time", "opened_at"),
)

actions = Table(
    "actions",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("incident", String, ForeignKey("incidents.id", name="actions_incident_fkey"), nullable=False),
    Column("text", Text, nullable=False),
    Column("owner", String, nullable=False),
    Column("due", String, nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("done_at", UtcTime),
    Column("done_by", String, nullable=False),
    Column("remind_at", UtcTime),
    Index("actions_by_incident", "incident"),
    Index("actions_remind", "remind_at"),
)

messages = Table(
    "messages",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("room", String, nullable=False),
    Column("key", String, nullable=False),
    Column("author", String, nullable=False),
    Column("blocks", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("said_at", UtcTime, nullable=False),
    Column("edited_at", UtcTime, nullable=False),
    UniqueConstraint("room", "key", name="messages_room_key"),
    Index("messages_by_room", "room", "said_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("lane", String),
    Column("payload", Text, nullable=False),
    Column("incident", String),
    Column("epoch", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("claimed_version", Integer, nullable=False),
    Column("owner", String),
    Column("lease_until", UtcTime),
    Column("ref", Text),
    Column("error", Text),
    Column("finished_at", UtcTime),
    UniqueConstraint("key", name="outbox_key"),
    Index("outbox_due", "state", "kind", "due_at"),
    Index("outbox_lane", "lane", "state", "seq"),
    Index("outbox_by_incident", "incident", "state"),
)

escalations = Table(
    "escalations",
    metadata,
    Column("incident", String, ForeignKey("incidents.id", name="escalations_incident_fkey"), primary_key=True),
    Column("policy", String, nullable=False),
    Column("first", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("phase", String, nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("due_at", UtcTime),
    Column("index", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    Column("again", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("called", Text, nullable=False),
    Index("escalations_due", "due_at"),
)

calls = Table(
    "calls",
    metadata,
    Column("key", String, primary_key=True),
    Column("incident", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("person", String, nullable=False),
    Column("ways", String, nullable=False),
    Column("state", String, nullable=False),
    Column("pager", String, nullable=False),
    Column("ref", Text, nullable=False),
    Column("queued_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Index("calls_by_incident", "incident", "step"),
    Index("calls_by_person", "pager", "person", "sent_at"),
)

inbox = Table("inbox", metadata, Column("key", String, primary_key=True), Column("at", UtcTime, nullable=False))

watches = Table(
    "watches",
    metadata,
    Column("room", String, primary_key=True),
    Column("playbook", String, nullable=False),
    Column("message", String, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("started_at", UtcTime, nullable=False),
)

patrols = Table(
    "patrols",
    metadata,
    Column("playbook", String, primary_key=True),
    Column("at", UtcTime, primary_key=True),
    Column("slot", Integer, nullable=False),
    Column("red_agents", Integer, nullable=False),
    Column("cells", Text, nullable=False),
    Index("patrols_by_slot", "playbook", "slot", "at"),
)

patrol_claims = Table(
    "patrol_claims",
    metadata,
    Column("playbook", String, primary_key=True),
    Column("due_at", UtcTime, nullable=False),
    Column("number", Integer, nullable=False),
    Column("owner", String),
    Column("lease_until", UtcTime),
    Column("incident", String, ForeignKey("incidents.id", name="patrol_claims_incident_fkey")),
)

enrolled = Table(
    "enrolled",
    metadata,
    Column("name", String, primary_key=True),
    Column("public_key", String, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("by", String, nullable=False),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("made_by", String, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("used_at", UtcTime),
)

changes = Table(
    "changes",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("kind", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("who", String, nullable=False),
    Column("env", String, nullable=False),
    Column("service", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("source", String, nullable=False),
    Index("changes_by_time", "at"),
)

overrides = Table(
    "overrides",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("schedule", String, nullable=False),
    Column("person", String, nullable=False),
    Column("start", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("by", String, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("cancelled_by", String),
    Column("cancelled_at", UtcTime),
    Index("overrides_by_end", "until"),
)

alert_sources = Table("alert_sources", metadata, Column("name", String, primary_key=True))

alerts = Table(
    "alerts",
    metadata,
    Column("source", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("grouped", Text, nullable=False),
    Column("incident", String, ForeignKey("incidents.id", name="alerts_incident_fkey"), nullable=False),
    Column("status", String, nullable=False),
    Column("title", Text, nullable=False),
    Column("severity", String, nullable=False),
    Column("labels", Text, nullable=False),
    Column("playbook", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("first_at", UtcTime, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("times", Integer, nullable=False),
    Index("alerts_by_incident", "incident", "last_at"),
)

settings = Table("settings", metadata, Column("key", String, primary_key=True), Column("value", Text, nullable=False))
