"""Escalations with their timers, and the calls they made.

Revision: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "escalations",
        sa.Column(
            "incident",
            sa.String,
            sa.ForeignKey("incidents.id", name="escalations_incident_fkey"),
            primary_key=True,
        ),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("first", sa.String, nullable=False),
        sa.Column("severity", sa.String, nullable=False),
        sa.Column("phase", sa.String, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("due_at", TIME),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("again", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("called", sa.Text, nullable=False),
    )
    op.create_index("escalations_due", "escalations", ["due_at"])
    op.create_table(
        "calls",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("incident", sa.String, nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("ways", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("pager", sa.String, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("queued_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
    )
    op.create_index("calls_by_incident", "calls", ["incident", "step"])
    op.create_index("calls_by_person", "calls", ["pager", "person", "sent_at"])


def downgrade() -> None:
    op.drop_table("calls")
    op.drop_table("escalations")
