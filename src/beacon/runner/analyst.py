"""The analyst: a process of its own that classifies answers and analyses jobs.

Numerics stay out of the runner's process, so that neither its event loop nor its memory feels them. The
process starts when it is first asked and reads the database itself; nothing large travels between the two.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from typing import Any

from beacon.errors import UnavailableError

TASKS = "beacon.runner.analyst_tasks"


class Analyst:
    """Runs functions in the analyst process, one at a time. Use `async with`."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def __aenter__(self) -> Analyst:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)

    async def ask(self, task: str, *args: object) -> Any:
        """What the function `task` of `beacon.runner.analyst_tasks` returns for `args`.

        It is named, not passed, so that nothing of the analysis is loaded here. Raises UnavailableError where
        the process died twice.
        """
        for _ in range(2):
            try:
                return await asyncio.get_running_loop().run_in_executor(self._ready(), _perform, task, args)
            except BrokenProcessPool:
                self._pool = None
        raise UnavailableError(
            f"the analysis process ended twice while it ran {task}",
            todo="look for a lack of memory in the system's log, then `beacon retry JOB --finalize`",
        )

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_ignore_interrupts)
        return self._pool


def _perform(task: str, args: tuple[object, ...]) -> Any:
    return getattr(import_module(TASKS), task)(*args)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches the whole process group; the runner decides when the analyst ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
