"""Version 2: when and where a task was done, from which seeds and data, and its peak of GPU memory."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the columns; of results that are there already these things are not known."""
    op.add_column("tasks", sa.Column("started", sa.Float, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("host", sa.String(12), nullable=False, server_default=""))
    op.add_column("tasks", sa.Column("peak_gpu_memory", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("tasks", sa.Column("inputs", sa.JSON, nullable=False, server_default="{}"))
