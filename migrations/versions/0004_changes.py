"""Changes that deploy systems and others post.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("env", sa.String, nullable=False),
        sa.Column("service", sa.String, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("source", sa.String, nullable=False),
    )
    op.create_index("changes_by_time", "changes", ["at"])


def downgrade() -> None:
    op.drop_table("changes")
