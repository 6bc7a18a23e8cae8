"""Commands that only read the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from beacon.cli.settings import database_url
from beacon.store.database import Database, open_database

T = TypeVar("T")


def with_database(option: str | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Opens the database, does `work`, closes it."""

    async def opened() -> T:
        database = await open_database(database_url(option))
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(opened())
