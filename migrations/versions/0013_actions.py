"""Action items of incidents.

Revision: 0013
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("incident", sa.String, sa.ForeignKey("incidents.id", name="actions_incident_fkey"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("due", sa.String, nullable=False),
        sa.Column("made_by", sa.String, nullable=False),
        sa.Column("made_at", TIME, nullable=False),
        sa.Column("done_at", TIME, nullable=True),
        sa.Column("done_by", sa.String, nullable=False),
        sa.Column("remind_at", TIME, nullable=True),
    )
    op.create_index("actions_by_incident", "actions", ["incident"])
    op.create_index("actions_remind", "actions", ["remind_at"])


def downgrade() -> None:
    op.drop_table("actions")
