"""Commands that only read the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from beacon.cli.settings import DATABASE_VARIABLE, database_file, database_url
from beacon.errors import NotFoundError
from beacon.store.database import Database, open_database

T = TypeVar("T")


def with_database(option: str | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Opens the database, does `work`, closes it. Raises NotFoundError where there is none: nothing is made."""
    return asyncio.run(_with_database(option, work))


async def _with_database(option: str | None, work: Callable[[Database], Awaitable[T]]) -> T:
    url = database_url(option)
    file = database_file(url)
    if file is not None and not file.exists():
        todo = f"run a job first, or name another place with --database or {DATABASE_VARIABLE}"
        raise NotFoundError(f"there is no database yet at {file}", where=url, todo=todo)
    database = await open_database(url)
    try:
        return await work(database)
    finally:
        await database.close()
