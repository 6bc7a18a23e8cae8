"""Processes that share one virtual loop, and die, or are stopped and go on, between any two of their steps.

A process is a mark on the context of everything that it starts. Dead, none of it ever takes another step: no
`finally`, no `except`, as after `kill -9`. Frozen, its steps are held back until it is thawed, as after SIGSTOP.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import sys
import warnings
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any
from unittest.mock import patch

from tests.simulation.virtual import VirtualLoop

CURRENT: ContextVar[Process | None] = ContextVar("CURRENT", default=None)


class Process:
    """`fuse` is after how many further steps it dies, None for never."""

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host
        self.dead = False
        self.frozen = False
        self.was_frozen = False
        self.runner: Any = None
        self.router: Any = None
        self.fuse: int | None = None
        self.commits_left: int | None = None
        self.held: list[asyncio.Handle] = []
        self.held_timers: list[asyncio.TimerHandle] = []
        self.died = asyncio.Event()

    @property
    def gone(self) -> bool:
        """Whether the operating system knows it no more."""
        return self.dead or self.died.is_set()


class ProcessLoop(VirtualLoop):
    def __init__(self) -> None:
        super().__init__()
        self._buried: list[asyncio.Task[Any]] = []
        self.world = copy_context()
        # What nobody reads is told when it is collected, which is at no moment of the simulation.
        self.set_exception_handler(lambda *_: None)

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> asyncio.Handle:
        process = CURRENT.get() if context is None else context.get(CURRENT)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        if process.fuse is not None and not process.dead:
            process.fuse -= 1
            if process.fuse <= 0:
                self.kill(process)
        handle = super().call_soon(callback, *args, context=context)
        if process.dead:
            handle.cancel()
        elif process.frozen:
            self._ready.pop()
            process.held.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, context=context)
        process = timer._context.get(CURRENT)  # type: ignore[attr-defined]
        if process is not None and process.dead:
            timer.cancel()
        return timer

    def in_world(self, coroutine: Any) -> asyncio.Task[Any]:
        """A task that belongs to no process."""
        return self.create_task(coroutine, context=self.world.copy())

    def start(self, process: Process, coroutine: Any) -> asyncio.Task[Any]:
        context = self.world.copy()
        context.run(CURRENT.set, process)
        return self.create_task(coroutine, context=context)

    def kill(self, process: Process) -> None:
        """What is running now runs until it waits for something; nothing of the process runs ever again."""
        if process.dead:
            return
        process.dead = True
        # Held, so that none is collected: that would close it, and run what a killed process does not run.
        self._buried.extend(asyncio.all_tasks(self))
        for handle in (*self._ready, *self._scheduled, *process.held, *process.held_timers):
            if handle._context.get(CURRENT) is process:
                handle.cancel()
        self.world.copy().run(process.died.set)

    def freeze(self, process: Process) -> None:
        process.frozen = process.was_frozen = True
        mine = [h for h in self._ready if h._context.get(CURRENT) is process]
        for handle in mine:
            self._ready.remove(handle)
        process.held += mine
        process.held_timers = [t for t in self._scheduled if t._context.get(CURRENT) is process]
        self._scheduled = [t for t in self._scheduled if t._context.get(CURRENT) is not process]
        heapq.heapify(self._scheduled)

    def thaw(self, process: Process) -> None:
        process.frozen = False
        if process.dead:
            return
        self._ready.extend(process.held)
        for timer in process.held_timers:
            if not timer.cancelled():
                heapq.heappush(self._scheduled, timer)
        process.held, process.held_timers = [], []

    def bury(self) -> None:
        """The end: closes the loop and what never ended on it, without a word of what that would say."""
        unfinished = [task for task in {*self._buried, *asyncio.all_tasks(self)} if not task.done()]
        self._buried.clear()
        self.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            while unfinished:
                _end(unfinished.pop())
            with patch.object(sys, "unraisablehook", lambda _: None):
                gc.collect()


def _end(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    _close(task.get_coro())


def _close(outermost: Any) -> None:
    """Closes a coroutine that is in the middle of others, from within; some wait again while they are closed."""
    chain = [outermost]
    while chain[-1] is not None:
        awaited = chain[-1]
        chain.append(getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None))
    for coroutine in reversed(chain[:-1]):
        close = getattr(coroutine, "close", None)
        for _ in range(20):
            if close is None or getattr(coroutine, "cr_frame", None) is None:
                break
            with suppress(BaseException):
                close()


async def for_ever() -> Any:
    """For what a dead process was waiting for."""
    return await asyncio.get_running_loop().create_future()
