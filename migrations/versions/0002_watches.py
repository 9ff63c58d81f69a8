"""Watches that go on after a restart.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("room", sa.String, primary_key=True),
        sa.Column("playbook", sa.String, nullable=False),
        sa.Column("message", sa.String, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("watches")
