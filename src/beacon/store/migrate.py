"""Brings a database's tables up to date.

The database names its own revision. Where it is the newest, nothing heavy is imported; otherwise Alembic runs
the migrations in one transaction.
"""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from sqlalchemy import Connection

from beacon.errors import DatabaseTooNewError

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")
"""All revisions, oldest first; the last is what this Beacon needs."""


def revision_is_newest(connection: Connection) -> bool:
    return revision(connection) == REVISIONS[-1]


def bring_up_to_date(connection: Connection) -> None:
    """In the caller's transaction, which keeps others out.

    Raises DatabaseTooNewError where a newer Beacon wrote the database; it is left as it is.
    """
    if revision_is_newest(connection):
        return
    _refuse_newer(connection)
    # Imported on demand: Alembic costs more than a whole start on an up-to-date database.
    upgrade = import_module("beacon.store.migrations.run").upgrade
    upgrade(connection)


def revision(connection: Connection) -> str | None:
    """The revision that the database says it has, or None for one without tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _refuse_newer(connection: Connection) -> None:
    found = revision(connection)
    if found is not None and found not in REVISIONS:
        raise DatabaseTooNewError(
            f"the database has revision {found}, this Beacon knows revisions up to {REVISIONS[-1]}",
            where=str(connection.engine.url),
            todo="use the newer Beacon, or name another database in BEACON_DATABASE_URL",
        )
