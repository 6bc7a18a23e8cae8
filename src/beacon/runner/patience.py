"""A database that a runner does not give up: what it holds in hand must not be lost to a lock, a full disk or a server
that is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from beacon.domain.clock import Clock
from beacon.errors import DatabaseError
from beacon.runner.presence import Presence
from beacon.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")

FIRST_PAUSE_S = 0.2
"""Between two tries of a call that found the database away; it doubles with each."""
LONGEST_PAUSE_S = 1.0
"""The longest of these pauses: how much later than the database is back a runner may notice it."""
SILENT_S = 10.0
"""A write that had no answer for so long: the database is taken to be away, though nothing says so. It is not repeated
before its connection ends, so that nothing is done twice."""
STOPPED_S = 5.0
"""How long a runner that is stopped still waits for a database that is away; what waits for it is in the spool."""


class PatientDatabase:
    """`database`, whose calls are tried again while it is away, for `hold_s` at most where that is not None.

    A write whose connection broke may have been done: what is written through this may be written twice. The group
    commit, which may not, is told how to be done again (`patiently`).
    """

    def __init__(self, database: Database, clock: Clock, *, presence: Presence, hold_s: float | None = None) -> None:
        self.direct = database
        self.presence = presence
        self._clock = clock
        self._hold_s = hold_s
        self._lost_at: float | None = None
        self._stopped_at: float | None = None
        self._under_way: set[asyncio.Timeout] = set()

    @property
    def url(self) -> str:
        return self.direct.url

    async def prepare(self) -> None:
        await self.direct.prepare()

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.patiently(lambda: self.direct.write(function, *args, **kwargs))

    async def write_at_once(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self.patiently(lambda: self.direct.write_at_once(function, *args, **kwargs))

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._patiently(lambda: self.direct.read(function, *args, **kwargs), None, None)

    async def close(self) -> None:
        await self.direct.close()

    def stop(self) -> None:
        """From now on the database is waited for no longer than `STOPPED_S`."""
        if self._stopped_at is None:
            self._stopped_at = self._clock.monotonic()
            if self.presence.away:
                self._end_soon()

    def _end_soon(self) -> None:
        for timeout in self._under_way:
            timeout.reschedule(asyncio.get_running_loop().time() + STOPPED_S)

    async def patiently(self, first: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[T]] | None = None) -> T:
        """Writes by `first`, and once the database was away by `again`, which is `first` where nothing else is given.

        Raises DatabaseError where the trouble does not pass, or not in time.
        """
        written = await self._patiently(first, again, SILENT_S)
        self._lost_at = None
        return written

    async def _patiently(
        self, first: Callable[[], Awaitable[T]], again: Callable[[], Awaitable[T]] | None, silent_s: float | None
    ) -> T:
        call, token, pause_s = first, object(), FIRST_PAUSE_S
        done = False
        try:
            while True:
                try:
                    answer = await self._answered(call, token, silent_s)
                except DatabaseError as error:
                    if not error.passing:
                        raise
                    self.presence.lost(token, error)
                    self._give_up_in_time(error)
                else:
                    done = True
                    return answer
                call = again or first
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            self.presence.found(token, done=done)

    async def _answered(self, call: Callable[[], Awaitable[T]], token: object, silent_s: float | None) -> T:
        """Does the call; that it has no answer is known after `silent_s`."""
        silent = None
        if silent_s is not None:
            silent = asyncio.get_running_loop().call_later(silent_s, self._is_silent, token, silent_s)
        ends_soon = self._stopped_at is not None and self.presence.away
        try:
            async with asyncio.timeout(STOPPED_S if ends_soon else None) as timeout:
                self._under_way.add(timeout)
                try:
                    return await call()
                finally:
                    self._under_way.discard(timeout)
        except TimeoutError as error:
            what = "the database did not answer before this process ended"
            raise DatabaseError(what, passing=True) from error
        finally:
            if silent is not None:
                silent.cancel()

    def _is_silent(self, token: object, silent_s: float) -> None:
        what = f"the database has not answered for {silent_s:g} s"
        todo = "look whether its server stands still"
        self.presence.lost(token, DatabaseError(what, todo=todo, passing=True))
        if self._stopped_at is not None:
            self._end_soon()

    def _give_up_in_time(self, error: DatabaseError) -> None:
        """Raises it once more where the time for it is over: since the last write, since it was found away."""
        now = self._clock.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        away_s = now - self._lost_at
        held = self._hold_s is not None and away_s >= self._hold_s
        stopped = self._stopped_at is not None and now - self._stopped_at >= STOPPED_S
        if held or stopped:
            what = f"{error.what}; tried again for {away_s:.0f} s"
            raise DatabaseError(what, where=error.where, todo=error.todo, passing=True) from error
