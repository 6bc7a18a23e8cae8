"""Real asyncio code on virtual time: an event loop whose clock jumps to the next timer when nothing else is left.

    async def story() -> float:
        await asyncio.sleep(3600)          # takes no time
        return VirtualClock().monotonic()  # 3600.0

    assert run(story()) == 3600.0

What happens at one moment happens in the order of asyncio. There is no network and no other thread: whatever would
wait for one waits for ever, and is said to.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
EPOCH = 1_000_000_000.0
"""What the wall clock says when virtual time begins, in seconds since the Unix epoch."""


class Stuck(RuntimeError):
    """Everything waits for something that no timer will bring."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time begins at 0 and passes only by jumps."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumps(self))

    def time(self) -> float:
        return self.now


class _Jumps(selectors.DefaultSelector):
    """A selector that lets time pass at once in place of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Stuck("every task waits, and no timer is left that could wake one")
        self._loop.now += timeout
        return ready


class VirtualClock:
    """The clock (`beacon.domain.clock.Clock`) of the virtual loop that runs."""

    def wall(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on virtual time. Raises Stuck."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
