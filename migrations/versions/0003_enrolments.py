"""Agents by their keys, and single-use invitations.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "enrolled",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("public_key", sa.String, nullable=False),
        sa.Column("since", TIME, nullable=False),
        sa.Column("by", sa.String, nullable=False),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("made_by", sa.String, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("used_at", TIME),
    )


def downgrade() -> None:
    op.drop_table("invitations")
    op.drop_table("enrolled")
