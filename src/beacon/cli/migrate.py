"""`beacon migrate`: brings a database up to date, or moves a SQLite history over to PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

from cyclopts import Parameter
from sqlalchemy import Connection

from beacon.cli.settings import DatabaseOption, JsonOption, database_file, database_url
from beacon.cli.terminal import say
from beacon.errors import ConflictError, ExitCode, InputError
from beacon.runner.owner import is_dead
from beacon.store import leases
from beacon.store.database import open_database, sqlite_engine
from beacon.store.migrate import REVISIONS
from beacon.store.transfer import Copied, copy_all, total


def migrate(
    *,
    to: Annotated[
        str | None, Parameter(help="Copy everything into this empty database: postgresql://USER@HOST/DATABASE.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Bring the database up to date; with `--to`, move its whole history over to PostgreSQL.

    The copy is one transaction: all of it arrives, counted and compared row by row, or nothing does. The old database
    is left as it is. The signing key and the log of seals are files of their own and stay where they are.

    Example: `beacon migrate --database beacon.db --to postgresql://beacon@localhost/beacon`

    Exit codes: 0 done; 2 the target holds something already, or the old database is in use; 3 one of them could not be
    used.
    """
    url = database_url(database)
    if to is None:
        asyncio.run(_bring_up_to_date(url))
        say(f"the database is at revision {REVISIONS[-1]}")
        return ExitCode.DONE
    file = database_file(url)
    if file is None or database_file(database_url(to)) is not None:
        raise InputError("histories are moved from SQLite to PostgreSQL", where="--database, --to")
    if not file.exists():
        raise InputError(f"there is no database {file}", where="--database", todo="check the path")
    copied = asyncio.run(_move(url, to))
    if as_json:
        print(json.dumps({"tables": [{"table": c.table, "rows": c.rows, "sha256": c.sha256} for c in copied]}))
    else:
        for table in copied:
            print(f"{table.rows:12,}  {table.table:12}  sha256 {table.sha256[:16]}…")
        say(f"{total(copied):,} rows moved and compared. From now on: export BEACON_DATABASE_URL={to}")
    return ExitCode.DONE


async def _bring_up_to_date(url: str) -> None:
    await (await open_database(url)).close()


async def _move(url: str, to: str) -> list[Copied]:
    file = database_file(url)
    assert file is not None
    source = await open_database(url)
    try:
        living = [owner for owner in await source.read(leases.owners) if not is_dead(owner)]
    finally:
        await source.close()
    if living:
        todo = "end `beacon serve` and `beacon run` first; unfinished jobs go on in the new database"
        raise ConflictError("the old database is in use by a process that drives its jobs", where=url, todo=todo)
    target = await open_database(to)
    # Writers of the old database wait meanwhile: what they would add could not arrive.
    engine = sqlite_engine(file, begin="BEGIN IMMEDIATE")

    def copy(connection: Connection) -> list[Copied]:
        with engine.begin() as old:
            return copy_all(connection, old)

    try:
        return await target.write(copy)
    finally:
        engine.dispose()
        await target.close()
