"""Real asyncio code on virtual time: an event loop whose clock jumps to the next timer when nothing else is left.

    async def story() -> float:
        await asyncio.sleep(3600)          # takes no time
        return VirtualClock().monotonic()  # 3600.0

    assert run(story()) == 3600.0

What happens at one moment happens in the order of asyncio. There is no network and no other thread: what an executor is
asked to do is done at once, and whatever would wait for a network waits for ever, and is said to. Tasks and futures are
numbered as they are made, and their numbers are their hashes, so that a set of them has one order in every run.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_000_000_000.0
"""What the wall clock says when virtual time begins, in seconds since the Unix epoch."""


class Stuck(RuntimeError):
    """Everything waits for something that no timer will bring."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Its time begins at 0 and passes only by jumps. Built on the part of asyncio that knows no sockets."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Jumps(self)
        self._now = 0.0
        self._numbers = itertools.count(1)

    def time(self) -> float:
        return self._now

    def jump(self) -> None:
        """To the next timer. Raises Stuck."""
        if not self._scheduled:  # type: ignore[has-type]
            raise Stuck("every task waits, and no timer is left that could wake one")
        self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[has-type]

    def create_task(self, coroutine: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        task = _Task(coroutine, loop=self, name=name, context=context)
        task.number = next(self._numbers)
        return task

    def create_future(self) -> asyncio.Future[Any]:
        future = _Future(loop=self)
        future.number = next(self._numbers)
        return future

    def run_in_executor(self, _executor: Any, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever awaits it
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        raise RuntimeError(f"virtual time has no network: {host}:{port} cannot be reached")

    def _process_events(self, _events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class _Jumps:
    """In the place of a selector: lets time pass at once in place of waiting."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._loop.jump()
        return []


class _Task(asyncio.Task):  # type: ignore[type-arg]
    number = 0

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future):  # type: ignore[type-arg]
    number = 0

    def __hash__(self) -> int:
        return self.number


class VirtualClock:
    """The clock (`beacon.domain.clock.Clock`) of the given loop, else of the one that runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop

    def wall(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return (self._loop or asyncio.get_running_loop()).time()


class JumpingClock(VirtualClock):
    """One whose wall can be set while it runs, by so many seconds, as an operator or NTP does."""

    offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on virtual time. Raises Stuck."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
