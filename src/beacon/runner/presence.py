"""Whether this process has its database, and since when it has not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from beacon.domain.clock import Clock
from beacon.errors import DatabaseError

log = structlog.get_logger()

SAID_AFTER_S = 1.0
"""For how long the database is away before the log says so; what is shorter, such as another process's lock, is not
worth a line."""


class Presence:
    """The database is away from the first call that finds it so until each call that did has been done after all.

    `losses` counts how often it went away. Who has something to do at that moment stands in `when_lost`. `waiting`
    tells how many ended attempts wait for it.
    """

    def __init__(self, clock: Clock, waiting: Callable[[], int] = lambda: 0) -> None:
        self.losses = 0
        self.when_lost: set[Callable[[], None]] = set()
        self._clock = clock
        self._waiting = waiting
        self._failing: dict[object, DatabaseError] = {}
        self._since, self._since_wall = 0.0, 0.0
        self._there = asyncio.Event()
        self._there.set()
        self._saying: asyncio.TimerHandle | None = None
        self._most_waiting = 0

    @property
    def away(self) -> bool:
        return bool(self._failing)

    @property
    def away_s(self) -> float:
        """For how long it has been away; 0 while it is there."""
        return self._clock.monotonic() - self._since if self._failing else 0.0

    def lost(self, call: object, error: DatabaseError) -> None:
        """`call` found the database away; it is tried again."""
        first = not self._failing
        self._failing[call] = error
        if not first:
            return
        self.losses += 1
        self._since, self._since_wall = self._clock.monotonic(), self._clock.wall()
        self._there.clear()
        self._saying = asyncio.get_running_loop().call_later(SAID_AFTER_S, self._say)
        for tell in tuple(self.when_lost):
            tell()

    def found(self, call: object, *, done: bool = True) -> None:
        """`call` is done after all; or given up, of which whoever gave it up tells."""
        if call not in self._failing:
            return
        self.note_waiting()
        away_s = self.away_s
        del self._failing[call]
        if self._failing:
            return
        self._there.set()
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        elif done:
            waited = {"away_s": round(away_s, 1), "waited": self._most_waiting}
            log.warning("the database is back: work goes on", **waited)
        self._most_waiting = 0

    def note_waiting(self) -> None:
        self._most_waiting = max(self._most_waiting, self._waiting())

    async def until_there(self) -> bool:
        """Returns when the database is there: whether it had to be waited for."""
        waited = False
        while self._failing:
            waited = True
            await self._there.wait()
        return waited

    def error(self) -> DatabaseError | None:
        """Since when the database is away, why, and what waits for it; None while it is there."""
        if not self._failing:
            return None
        why = next(iter(self._failing.values()))
        since = datetime.fromtimestamp(self._since_wall, UTC).strftime("%H:%M:%S UTC")
        what = f"the database is away since {since}: {why.what}; {self._what_waits()}, and nothing new is sent"
        return DatabaseError(what, where=why.where, todo=why.todo, passing=True)

    def _what_waits(self) -> str:
        count = self._waiting()
        return "1 outcome waits for it" if count == 1 else f"{count} outcomes wait for it"

    def _say(self) -> None:
        self._saying = None
        if self._failing:
            why = next(iter(self._failing.values()))
            told = {"why": why.what, "where": why.where, "todo": why.todo, "waiting": self._waiting()}
            log.error("the database is away: nothing new is sent until it is back", **told)
