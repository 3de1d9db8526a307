"""Files that are delivered anew: which hour each is, which one counts; and rejects that were judged again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Deliveries of before have no slot: they are neither replaced nor replace."""
    for name in ("slot", "made", "replaced_by", "rejects_of"):
        op.add_column("deliveries", sa.Column(name, sa.String()))
    op.create_index("ix_deliveries_slot", "deliveries", ["slot"])
    op.create_index("ix_deliveries_replaced_by", "deliveries", ["replaced_by"])
    op.create_table(
        "editions",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("slot", sa.String(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("rejects", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_editions"),
    )
    op.create_index("ix_editions_slot", "editions", ["slot"])
