"""Who takes over a shift.

Revision: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "overrides",
        sa.Column("seq", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("schedule", sa.String, nullable=False),
        sa.Column("person", sa.String, nullable=False),
        sa.Column("start", TIME, nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("cancelled_by", sa.String),
        sa.Column("cancelled_at", TIME),
    )
    op.create_index("overrides_by_end", "overrides", ["until"])


def downgrade() -> None:
    op.drop_table("overrides")
