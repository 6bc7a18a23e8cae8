"""How much a provider is asked to do at once, and who is next.

Who finds no slot stands in a line: the waiters with the same candidates, first come first served. A provider that
has a slot to give serves the line whose first waiter came first, whatever the model. So a slow provider delays
nobody who could be served elsewhere, no cell delays another that it shares no provider with, and a slot that is
given back wakes exactly the one who gets it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from beacon.domain.clock import Clock


class Slots:
    """The slots of one provider. A slot that is free while the provider is open has no waiter."""

    __slots__ = ("_caps", "_clock", "_lines", "_room", "_timer", "blocked_until", "blocked_why", "in_flight", "limit")

    def __init__(self, limit: int, clock: Clock) -> None:
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._lines: dict[Line, None] = {}
        self._caps: dict[str, int] = {}
        self._room = limit
        self.limit = limit
        self.in_flight = 0
        self.blocked_until: float | None = None
        self.blocked_why: str | None = None

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines)

    def free(self) -> int:
        """Slots that may be taken now; none while the provider is blocked."""
        return max(0, self._room - self.in_flight)

    def set_limit(self, limit: int) -> None:
        """So many at once from now on; what is under way beyond it is let finish."""
        self.limit = limit
        self._measure()

    def cap(self, why: str, at_most: int | None) -> None:
        """At most so many at once for this reason, whatever the limit; None where it holds no longer."""
        if at_most is None:
            self._caps.pop(why, None)
        else:
            self._caps[why] = at_most
        self._measure()

    def capped(self, why: str) -> bool:
        return why in self._caps

    def take(self) -> None:
        self.in_flight += 1

    def give_back(self) -> None:
        self.in_flight -= 1
        if self._lines:
            self._serve()

    def block(self, seconds: float, why: str) -> None:
        """No new work for so many seconds from now; a longer block stands."""
        until = self._clock.monotonic() + seconds
        if self.blocked_until is not None and self.blocked_until >= until:
            return
        self.blocked_until, self.blocked_why = until, why
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._unblock)
        self._measure()

    def close(self) -> None:
        """No timer of it runs any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def join(self, line: Line) -> None:
        """From now on this provider serves the line too."""
        self._lines[line] = None
        self._serve()

    def leave(self, line: Line) -> None:
        self._lines.pop(line, None)

    def _unblock(self) -> None:
        self._timer = self.blocked_until = self.blocked_why = None
        self._measure()

    def _measure(self) -> None:
        self._room = 0 if self.blocked_until is not None else min((self.limit, *self._caps.values()))
        self._serve()

    def _serve(self) -> None:
        while self._lines and self._room > self.in_flight:
            lines = self._lines
            line = next(iter(lines)) if len(lines) == 1 else min(lines, key=Line.came_first)
            line.grant(self)


class Line:
    """Who waits for a slot at one of the same candidates, in the order of coming. It has a waiter or is in no queue."""

    __slots__ = ("_candidates", "_waiters")
    _numbers = count()

    def __init__(self, candidates: Iterable[Slots]) -> None:
        self._candidates = tuple(candidates)
        self._waiters: OrderedDict[int, asyncio.Future[Slots]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiters)

    def came_first(self) -> int:
        """The number of the first who waits; numbers grow over all lines."""
        return next(iter(self._waiters))

    def change(self, candidates: Iterable[Slots]) -> None:
        """Other providers serve those who wait, who keep their places."""
        for slots in self._candidates:
            slots.leave(self)
        self._candidates = tuple(candidates)
        self._join()

    def grant(self, slots: Slots) -> None:
        """Takes a slot for the first who waits, if it has not given up in this moment."""
        _, granted = self._waiters.popitem(last=False)
        if not self._waiters:
            self._leave()
        if not granted.done():
            slots.take()
            granted.set_result(slots)

    def close(self) -> None:
        """Nobody is served any more: who waits is cancelled."""
        self._leave()
        while self._waiters:
            self._waiters.popitem()[1].cancel()

    async def wait(self) -> Slots:
        """Waits until one of the candidates hands over a slot, which is then taken."""
        number = next(self._numbers)
        granted: asyncio.Future[Slots] = asyncio.get_running_loop().create_future()
        self._waiters[number] = granted
        if len(self._waiters) == 1:
            self._join()
        try:
            return await granted
        except asyncio.CancelledError:
            if self._waiters.pop(number, None) is not None:
                if not self._waiters:
                    self._leave()
            elif granted.done() and not granted.cancelled():
                granted.result().give_back()
            raise

    def _join(self) -> None:
        for slots in self._candidates:
            if not self._waiters:
                return
            slots.join(self)

    def _leave(self) -> None:
        for slots in self._candidates:
            slots.leave(self)
