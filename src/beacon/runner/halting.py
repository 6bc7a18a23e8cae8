"""What may be given up in the middle when a job or its runner stops, and what may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any


class Halted(Exception):
    """The job or the runner stops, and what was under way is given up."""


class Haltable:
    """What stands inside `with haltable:` is given up by `halt`; raises Halted then, and where `is_halted` already.

    Nothing else is: an outcome that is being recorded is recorded. Any number of tasks may be inside, each once.
    """

    def __init__(self, is_halted: Callable[[], bool]) -> None:
        self._is_halted = is_halted
        self._inside: set[asyncio.Task[Any]] = set()

    def halt(self) -> None:
        for task in self._inside:
            task.cancel()

    def __enter__(self) -> None:
        if self._is_halted():
            raise Halted
        self._inside.add(_this_task())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = _this_task()
        self._inside.discard(task)
        if isinstance(error, asyncio.CancelledError) and self._is_halted():
            task.uncancel()
            raise Halted from None


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
