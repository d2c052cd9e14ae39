"""Brings a store of an earlier schema to the present one, step by step, within its caller's transaction.

In: a connection, and the version that it finds there. Out: the tables as `database` declares them. Each step is a file
in `versions`, named after the version it makes.
"""

from __future__ import annotations

import os
from pathlib import Path

import sqlalchemy as sa


def upgrade(connection: sa.Connection, version: int | None) -> None:
    """Do all the steps after that version; all there are where there is none."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", os.fspath(Path(__file__).parent).replace("%", "%%"))
    if version is not None:
        command.stamp(config, str(version))
    command.upgrade(config, "head")
