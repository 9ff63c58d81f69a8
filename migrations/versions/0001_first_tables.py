"""The first tables.

Revision: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _incidents_and_rooms()
    _runs()
    _timeline()
    _messages()
    _outbox()
    op.create_table("inbox", _key(), _at("at"))
    op.create_table("settings", _key(), _body("value"))
    if op.get_bind().dialect.name == "sqlite":
        _append_only_sqlite()
    else:
        _append_only_postgresql()


def downgrade() -> None:
    for table in ("settings", "inbox", "outbox", "messages", "timeline", "runs", "rooms", "incidents", "counters"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION timeline_is_append_only")


def _key() -> sa.Column:
    return sa.Column("key", sa.String, primary_key=True)


def _serial() -> sa.Column:
    return sa.Column("seq", SERIAL, primary_key=True, autoincrement=True)


def _word(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.String, nullable=nullable)


def _body(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, sa.Text, nullable=nullable)


def _count(name: str) -> sa.Column:
    return sa.Column(name, sa.Integer, nullable=False)


def _at(name: str, *, nullable: bool = False) -> sa.Column:
    return sa.Column(name, TIME, nullable=nullable)


def _incidents_and_rooms() -> None:
    counters = op.create_table("counters", sa.Column("name", sa.String, primary_key=True), _count("value"))
    op.bulk_insert(counters, [{"name": "incident", "value": 0}])
    op.create_table(
        "incidents",
        sa.Column("id", sa.String, primary_key=True),
        _body("title"),
        _word("severity"),
        _word("state"),
        _word("room"),
        _word("origin_room"),
        _at("opened_at"),
        _word("opened_by"),
        _at("resolved_at", nullable=True),
        _at("acked_at", nullable=True),
        _word("acked_by", nullable=True),
        _count("epoch"),
    )
    op.create_index("incidents_by_state", "incidents", ["state", "opened_at"])
    op.create_table(
        "rooms",
        _serial(),
        _word("key"),
        _word("platform"),
        _body("title"),
        _word("lang"),
        sa.Column("incident", sa.String, sa.ForeignKey("incidents.id", name="rooms_incident_fkey")),
        sa.UniqueConstraint("key", name="rooms_key"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        _word("playbook"),
        _word("room"),
        _word("user"),
        _at("started_at"),
        sa.Column("incident", sa.String, sa.ForeignKey("incidents.id", name="runs_incident_fkey")),
        _at("finished_at", nullable=True),
        _body("document", nullable=True),
    )
    op.create_index("runs_by_room", "runs", ["room", "started_at"])
    op.create_index("runs_by_incident", "runs", ["incident"])


def _timeline() -> None:
    op.create_table(
        "timeline",
        _serial(),
        _word("kind"),
        _at("at"),
        _at("recorded_at"),
        _word("actor"),
        _word("room"),
        _word("incident", nullable=True),
        _word("run", nullable=True),
        _body("zh"),
        _body("en"),
        _body("data"),
        sqlite_autoincrement=True,
    )
    op.create_index("timeline_by_incident", "timeline", ["incident", "seq"])
    op.create_index("timeline_by_room", "timeline", ["room", "seq"])
    op.create_index("timeline_by_run", "timeline", ["run"])


def _messages() -> None:
    op.create_table(
        "messages",
        _serial(),
        _word("room"),
        _word("key"),
        _word("author"),
        _body("blocks"),
        _count("revision"),
        _at("said_at"),
        _at("edited_at"),
        sa.UniqueConstraint("room", "key", name="messages_room_key"),
    )
    op.create_index("messages_by_room", "messages", ["room", "said_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        _serial(),
        _word("key"),
        _word("kind"),
        _word("lane", nullable=True),
        _body("payload"),
        _word("incident", nullable=True),
        _count("epoch"),
        _word("state"),
        _at("due_at"),
        _count("attempts"),
        _count("generation"),
        _count("version"),
        _count("claimed_version"),
        _word("owner", nullable=True),
        _at("lease_until", nullable=True),
        _body("ref", nullable=True),
        _body("error", nullable=True),
        _at("finished_at", nullable=True),
        sa.UniqueConstraint("key", name="outbox_key"),
    )
    op.create_index("outbox_due", "outbox", ["state", "kind", "due_at"])
    op.create_index("outbox_lane", "outbox", ["lane", "state", "seq"])
    op.create_index("outbox_by_incident", "outbox", ["incident", "state"])


def _append_only_sqlite() -> None:
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER timeline_no_{act.lower()} BEFORE {act} ON timeline "
            "BEGIN SELECT RAISE(ABORT, 'the timeline is append-only'); END"
        )


def _append_only_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION timeline_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the timeline is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER timeline_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON timeline "
        "FOR EACH STATEMENT EXECUTE FUNCTION timeline_is_append_only()"
    )
