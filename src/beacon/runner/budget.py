"""How many retries a cell may send, so that an outage is not made worse by asking again (a retry budget).

Each first attempt that fails allows a fifth of a retry: a full outage gets at most 1.2 times the first attempts. Each
answer allows two, so that what waited is sent in growing numbers once a provider is back. A floor lets small jobs
retry at once, and finds out whether an outage is over. After Finagle's RetryBudget, with failures in place
of a window of requests: what went well before an outage allows nothing in it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

RATIO = 0.2
"""Retries that a failed first attempt allows."""
PER_ANSWER = 2.0
"""Retries that an answer allows."""
FLOOR = 10.0
"""Retries that a cell may send whatever happens, and the most that answers lay by for later."""
TRICKLE_S = 10.0
"""While retries wait for the budget, one is let go this often. It ends no request."""
_ONE = 1.0 - 1e-6  # fifths do not add up exactly


class RetryBudget:
    """The budget of one (model, region). Retries that it does not allow wait in order."""

    def __init__(self) -> None:
        self._balance = FLOOR
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._trickle: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def first_failed(self) -> None:
        """A first attempt failed."""
        self._balance += RATIO
        self._serve()

    def answered(self) -> None:
        """An attempt was answered."""
        self._balance = max(self._balance, min(FLOOR + len(self._waiting), self._balance + PER_ANSWER))
        self._serve()

    async def take(self) -> None:
        """Returns when one more retry may be sent. Cancelling it spends nothing."""
        if self._balance >= _ONE and not self._waiting:
            self._balance -= 1.0
            return
        allowed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[allowed] = None
        self._wind()
        try:
            await allowed
        except asyncio.CancelledError:
            if self._waiting.pop(allowed, self) is self and allowed.done() and not allowed.cancelled():
                self._balance += 1.0
                self._serve()
            raise

    def _serve(self) -> None:
        while self._waiting and self._balance >= _ONE:
            allowed, _ = self._waiting.popitem(last=False)
            if not allowed.done():
                self._balance -= 1.0
                allowed.set_result(None)

    def _wind(self) -> None:
        if self._trickle is None:
            self._trickle = asyncio.get_running_loop().call_later(TRICKLE_S, self._let_one_go)

    def _let_one_go(self) -> None:
        self._trickle = None
        if self._waiting:
            self._balance += 1.0
            self._serve()
        if self._waiting:
            self._wind()
