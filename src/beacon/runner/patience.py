"""A database that a runner does not give up at once: answers in hand must not be lost to a lock or a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from beacon.domain.clock import Clock
from beacon.errors import DatabaseError
from beacon.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")

HOLD_S = 30.0
"""How long a runner holds what it has to write while another process holds the database, or its disk is full; then it
stops and says so."""
HOLD_PAUSE_S = 0.2
"""Between two tries of such a write."""


class PatientDatabase:
    """`database`, whose writes are tried again for `HOLD_S` where nothing of them was done.

    The time runs from the first that failed since one succeeded: what is written after it was given up, such as leases
    that are released, is not held as long again.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._away_since: float | None = None

    @property
    def url(self) -> str:
        return self._database.url

    async def prepare(self) -> None:
        await self._database.prepare()

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._patiently(lambda: self._database.write(function, *args, **kwargs))

    async def write_at_once(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._patiently(lambda: self._database.write_at_once(function, *args, **kwargs))

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.read(function, *args, **kwargs)

    async def close(self) -> None:
        await self._database.close()

    async def _patiently(self, write: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                written = await write()
            except DatabaseError as error:
                if not error.passing:
                    raise
                now = self._clock.monotonic()
                if self._away_since is None:
                    self._away_since = now
                if now - self._away_since >= HOLD_S:
                    what = f"{error.what}; tried again for {now - self._away_since:.0f} s"
                    raise DatabaseError(what, where=error.where, todo=error.todo, passing=True) from error
            else:
                self._away_since = None
                return written
            await asyncio.sleep(HOLD_PAUSE_S)
