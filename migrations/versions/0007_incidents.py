"""Incidents with their lifecycle, roles, impact, vendors and reminders.

Revision: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

NAMES = (
    "playbook",
    "roles",
    "environments",
    "impact",
    "update",
    "vendors",
    "merged_into",
    "update_due_at",
    "commander_due_at",
    "snoozed",
)


def upgrade() -> None:
    op.add_column("incidents", sa.Column("playbook", sa.String, nullable=False, server_default=""))
    for name, empty in (("roles", "{}"), ("environments", "[]"), ("impact", "{}"), ("vendors", "[]")):
        op.add_column("incidents", sa.Column(name, sa.Text, nullable=False, server_default=empty))
    op.add_column("incidents", sa.Column("update", sa.Text))
    op.add_column("incidents", sa.Column("merged_into", sa.String))
    for name in ("update_due_at", "commander_due_at", "snoozed"):
        op.add_column("incidents", sa.Column(name, TIME))
    op.create_index("incidents_update_due", "incidents", ["update_due_at"])
    op.create_index("incidents_commander_due", "incidents", ["commander_due_at"])
    op.execute("UPDATE incidents SET state = 'declared' WHERE state = 'open'")


def downgrade() -> None:
    op.execute("UPDATE incidents SET state = 'resolved' WHERE state = 'closed'")
    op.execute("UPDATE incidents SET state = 'open' WHERE state <> 'resolved'")
    op.drop_index("incidents_commander_due", "incidents")
    op.drop_index("incidents_update_due", "incidents")
    for name in NAMES:
        op.drop_column("incidents", name)
