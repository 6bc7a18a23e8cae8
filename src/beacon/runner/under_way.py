"""A job's drive shared by the tasks that drive its shards in one process: one set of lanes, one recorder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from beacon.domain.spec import JobSpec
from beacon.runner.drive import Drive
from beacon.runner.runner import Runner
from beacon.store import jobs


class JobUnderWay:
    """Opened by the first shard of a job, closed after the last; what ends the drive ends them all."""

    def __init__(self, runner: Runner, job_id: str, spec: JobSpec) -> None:
        self.users = 0
        self._runner = runner
        self._job_id = job_id
        self._spec = spec
        self._unused = asyncio.Event()
        self._drive: asyncio.Future[Drive] = asyncio.get_running_loop().create_future()
        # A drive is entered and left by one task: it holds task groups.
        self._host = asyncio.create_task(self._attend())

    async def _attend(self) -> None:
        job = await self._runner.database.read(jobs.get, self._job_id)
        async with self._runner.attending(job, self._spec) as drive:
            self._drive.set_result(drive)
            await self._unused.wait()

    async def opened(self) -> Drive:
        """Raises what kept it from being opened."""
        either: set[asyncio.Future[Any]] = {self._drive, self._host}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._drive.done():
            await self._host
        return self._drive.result()

    async def ended(self) -> None:
        """Returns, or raises, when the drive has ended."""
        await asyncio.shield(self._host)

    async def close(self) -> None:
        self._unused.set()
        await self.ended()


class JobsUnderWay:
    """The open drives of a process, by job."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._open: dict[str, JobUnderWay] = {}

    @asynccontextmanager
    async def sharing(self, job_id: str, spec: JobSpec) -> AsyncIterator[Drive]:
        """The job's drive, open at least as long as this is. Raises the BeaconError that ended it."""
        under_way = self._open.get(job_id)
        if under_way is None:
            under_way = self._open[job_id] = JobUnderWay(self._runner, job_id, spec)
        under_way.users += 1
        try:
            drive = await under_way.opened()
            async with _cancelled_by(under_way):
                yield drive
        finally:
            under_way.users -= 1
            if not under_way.users:
                if self._open.get(job_id) is under_way:
                    del self._open[job_id]
                await under_way.close()


@asynccontextmanager
async def _cancelled_by(under_way: JobUnderWay) -> AsyncIterator[None]:
    """What stands inside is given up when the drive ends under it; raises why it ended."""
    task = asyncio.current_task()
    assert task is not None
    ended = asyncio.create_task(under_way.ended())
    given_up = False

    def give_up(_: object) -> None:
        nonlocal given_up
        given_up = True
        task.cancel()

    ended.add_done_callback(give_up)
    try:
        yield
    except asyncio.CancelledError:
        if not given_up:
            raise
        task.uncancel()
        ended.result()
    finally:
        ended.remove_done_callback(give_up)
        ended.cancel()
