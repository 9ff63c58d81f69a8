"""Rooms that show what another one shows.

Revision: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rooms", sa.Column("mirror_of", sa.String, nullable=True))


def downgrade() -> None:
    op.drop_column("rooms", "mirror_of")
