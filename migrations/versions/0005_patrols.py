"""What patrols see, and who is on one.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "patrols",
        sa.Column("playbook", sa.String, primary_key=True),
        sa.Column("at", TIME, primary_key=True),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("red_agents", sa.Integer, nullable=False),
        sa.Column("cells", sa.Text, nullable=False),
    )
    op.create_index("patrols_by_slot", "patrols", ["playbook", "slot", "at"])
    op.create_table(
        "patrol_claims",
        sa.Column("playbook", sa.String, primary_key=True),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("owner", sa.String),
        sa.Column("lease_until", TIME),
        sa.Column("incident", sa.String, sa.ForeignKey("incidents.id", name="patrol_claims_incident_fkey")),
    )


def downgrade() -> None:
    op.drop_table("patrol_claims")
    op.drop_table("patrols")
