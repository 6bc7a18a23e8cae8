"""Runs the migrations over a connection that is inside a transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration; `connection` reaches `env.py` as an attribute."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Applies every revision that the database lacks, in the caller's transaction."""
    command.upgrade(configuration(connection), "head")


def is_beacons_own(name: str | None, kind: str, _parents: object) -> bool:
    """For Alembic's comparisons: the tables of the engine are left to it, they would seem to be too many."""
    return kind != "table" or name is None or not name.startswith("procrastinate_")
