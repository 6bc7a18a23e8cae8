"""Jobs compared with one another: worked out once, and kept for as long as nothing changes that it was made from."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from beacon.errors import BeaconError
from beacon.store import jobs, labelling
from beacon.store.database import Database

Drift = Callable[[str, str], Awaitable[dict[str, Any]]]
"""What changed from one job, that is over, to another: the document that `beacon drift --json` prints."""
PATIENCE_S = 10.0
"""For how long a page waits for comparisons; what is not there by then is worked out on, for whoever comes next."""
MOST_KEPT = 64
Stamp = tuple[str, int, int, int, float | None]


class Comparisons:
    """Those who ask for the same comparison at the same time share it."""

    def __init__(self, database: Database, drift: Drift) -> None:
        self._database = database
        self._drift = drift
        self._kept: OrderedDict[tuple[Stamp, Stamp], asyncio.Task[dict[str, Any]]] = OrderedDict()

    async def of(self, base: str, others: Sequence[str]) -> list[dict[str, Any] | BeaconError | None]:
        """For each of the later jobs its document, or why there is none; None where it takes longer than a page waits.

        Raises NotFoundError.
        """
        tasks = [await self._task(base, other) for other in others]
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
        return [_outcome(task) for task in tasks]

    async def _task(self, base: str, other: str) -> asyncio.Task[dict[str, Any]]:
        key = (await self._stamp(base), await self._stamp(other))
        task = self._kept.get(key)
        if task is None or (task.done() and _failed(task)):
            task = self._kept[key] = asyncio.create_task(self._work_out(base, other))
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return task

    async def _work_out(self, base: str, other: str) -> dict[str, Any]:
        return await self._drift(base, other)

    async def _stamp(self, job_id: str) -> Stamp:
        """Changes with the job's outcomes (a retry) and with the labels of its answers."""
        job = await self._database.read(jobs.get, job_id)
        count, newest = await self._database.read(labelling.state, job_id)
        return job.id, job.generation, job.done, count, newest


def _failed(task: asyncio.Task[dict[str, Any]]) -> bool:
    return task.cancelled() or task.exception() is not None


def _outcome(task: asyncio.Task[dict[str, Any]]) -> dict[str, Any] | BeaconError | None:
    if not task.done():
        return None
    error = None if task.cancelled() else task.exception()
    if isinstance(error, BeaconError):
        return error
    return task.result()
