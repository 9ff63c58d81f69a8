"""The timeline as a chain of hashes: docs/design/010. Entries that are there already stay outside of it.

Revision: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chains",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("length", sa.Integer, nullable=False),
        sa.Column("head", sa.String, nullable=False),
    )
    op.add_column("timeline", sa.Column("chain", sa.String, nullable=True))
    op.add_column("timeline", sa.Column("link", sa.Integer, nullable=True))
    op.add_column("timeline", sa.Column("hash", sa.String, nullable=True))
    # Two writers can never both be the next one, whatever else goes wrong.
    op.create_index("timeline_by_chain", "timeline", ["chain", "link"], unique=True)


def downgrade() -> None:
    op.drop_index("timeline_by_chain", "timeline")
    for column in ("hash", "link", "chain"):
        op.drop_column("timeline", column)
    op.drop_table("chains")
