"""How much a provider is asked to do at once, and who is next.

Waiters queue at every provider that may serve them and are served by whichever has a slot first; each
provider serves its queue first come, first served, whatever the model. So a slow provider delays nobody who
could be served elsewhere, and no cell delays another that it shares no provider with.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from beacon.domain.clock import Clock


class Slots:
    """The slots of one provider. A slot that is free while the provider is open has no waiter."""

    __slots__ = (
        "_clock",
        "_timer",
        "_waiters",
        "blocked_until",
        "blocked_why",
        "ceiling",
        "in_flight",
        "limit",
        "taken",
    )

    def __init__(self, limit: int, clock: Clock) -> None:
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
        self.limit = limit
        self.ceiling: int | None = None
        self.in_flight = 0
        self.taken = 0
        self.blocked_until: float | None = None
        self.blocked_why: str | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    def free(self) -> int:
        """Slots that may be taken now; none while the provider is blocked."""
        room = self.limit if self.ceiling is None else min(self.limit, self.ceiling)
        return 0 if self.blocked_until is not None else max(0, room - self.in_flight)

    def set_ceiling(self, ceiling: int | None) -> None:
        """At most so many at once, whatever the limit, as while a provider starts; None where nothing holds it."""
        self.ceiling = ceiling
        self._serve()

    def take(self) -> None:
        self.in_flight += 1
        self.taken += 1

    def give_back(self) -> None:
        self.in_flight -= 1
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

    def close(self) -> None:
        """Nobody is served any more: who waits is cancelled."""
        if self._timer is not None:
            self._timer.cancel()
        for waiter in tuple(self._waiters):
            waiter.granted.cancel()
            waiter.leave()

    def _unblock(self) -> None:
        self._timer = self.blocked_until = self.blocked_why = None
        self._serve()

    def _serve(self) -> None:
        while self._waiters and self.free():
            waiter = next(iter(self._waiters))
            waiter.leave()
            if not waiter.granted.done():
                self.take()
                waiter.granted.set_result(self)


class _Waiter:
    __slots__ = ("_queues", "granted")

    def __init__(self, queues: Sequence[Slots]) -> None:
        self.granted: asyncio.Future[Slots] = asyncio.get_running_loop().create_future()
        self._queues = queues
        for slots in queues:
            slots._waiters[self] = None

    def leave(self) -> None:
        for slots in self._queues:
            slots._waiters.pop(self, None)


async def wait_for_slot(candidates: Sequence[Slots]) -> Slots:
    """Waits until one of the candidates hands over a slot, which is then taken."""
    waiter = _Waiter(candidates)
    try:
        return await waiter.granted
    except asyncio.CancelledError:
        waiter.leave()
        if waiter.granted.done() and not waiter.granted.cancelled():
            waiter.granted.result().give_back()
        raise
