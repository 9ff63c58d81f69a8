"""Alerts and the incidents they belong to.

Revision: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table("alert_sources", sa.Column("name", sa.String, primary_key=True))
    op.create_table(
        "alerts",
        sa.Column("source", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("grouped", sa.Text, nullable=False),
        sa.Column("incident", sa.String, sa.ForeignKey("incidents.id", name="alerts_incident_fkey"), nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("severity", sa.String, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("playbook", sa.String, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
    )
    op.create_index("alerts_by_incident", "alerts", ["incident", "last_at"])


def downgrade() -> None:
    op.drop_table("alerts")
    op.drop_table("alert_sources")
