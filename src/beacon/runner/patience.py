"""A database that a runner does not give up at once: answers that are in hand must not be lost to a lock."""

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
"""How long a runner holds what it has to write while another process holds the database; then it stops and says so."""
HOLD_PAUSE_S = 0.2
"""Between two tries of such a write."""


class PatientDatabase:
    """`database`, whose writes are tried again for `HOLD_S` where nothing of them was done."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

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
        until = self._clock.monotonic() + HOLD_S
        while True:
            try:
                return await write()
            except DatabaseError as error:
                if not error.passing or self._clock.monotonic() >= until:
                    raise
            await asyncio.sleep(HOLD_PAUSE_S)
