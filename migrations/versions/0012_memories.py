"""What is remembered of incidents, for the next one of the kind. Earlier ones are caught up by the bot.

Revision: 0012
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "memories",
        sa.Column(
            "incident", sa.String, sa.ForeignKey("incidents.id", name="memories_incident_fkey"), primary_key=True
        ),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("memories_by_time", "memories", ["opened_at"])


def downgrade() -> None:
    op.drop_table("memories")
