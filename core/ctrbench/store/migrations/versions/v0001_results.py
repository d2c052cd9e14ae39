"""Version 1: tasks by key, runs, which task of a run has which key, and the cells of a run."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ctrbench",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schema_version", sa.Integer, nullable=False),
    )
    op.create_table(
        "tasks",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("plugin", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("outputs", sa.JSON, nullable=False),
        sa.Column("values", sa.JSON, nullable=False),
        sa.Column("seconds", sa.JSON, nullable=False),
        sa.Column("peak_memory", sa.BigInteger, nullable=False),
        sa.Column("finished", sa.Float, nullable=False),
        sa.Column("run", sa.String(32), nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("finished", sa.Float),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("about", sa.JSON, nullable=False),
        sa.Column("environment", sa.JSON, nullable=False),
    )
    op.create_table(
        "run_tasks",
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("task", sa.String(512), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("blocked_by", sa.String(512), nullable=False),
    )
    op.create_table(
        "run_cells",
        sa.Column("run", sa.String(32), sa.ForeignKey("runs.run"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("fields", sa.JSON, nullable=False),
    )
