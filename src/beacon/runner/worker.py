"""A worker: one of any number of processes that drive shards, as tasks of the engine, over one PostgreSQL database.

The engine says who should run a shard. Whether it may send is decided by the shard's epoch alone: a worker that stood
still while another took its shard over finds every write-ahead refused, and ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from beacon.domain.spec import JobSpec
from beacon.domain.states import JobStatus
from beacon.errors import BeaconError, ExitCode, InputError
from beacon.runner.admission import admit
from beacon.runner.engine import SILENT_S, Engine, Handlers
from beacon.runner.owner import RENEWALS
from beacon.runner.runner import PATIENCE_S, Runner
from beacon.runner.same_fleet import check_same_kind
from beacon.runner.under_way import JobsUnderWay
from beacon.store import jobs, leases, tasks, workers
from beacon.store.leases import Shard
from beacon.store.workers import Unserved

log = structlog.get_logger()

SWEEP_S = 2.0
"""How often a worker looks for work that no living task owns: lost, left behind, or new."""
CONCURRENCY = 8
"""Shards at once in each region, each of up to 500 executions; the fleet's limits say how many of those are sent."""
JOBS_AT_ONCE = 4
"""Jobs that are admitted or finalized at once: their slots are not the shards'."""
REFUSED_PAUSE_S = 5.0
"""Before a task that this worker's fleet is not fit for is offered again, to whoever has room."""


def _end_process() -> None:
    """Whatever this process still believes about its shards is out of date, and nothing of it may be recorded."""
    os._exit(ExitCode.LOST_SHARD)


class Worker:
    """Takes tasks of `regions`, and of admission and finalizing, until `stop`.

    Without `regions` it serves those of its fleet, also such as a reload of the fleet brings.
    """

    def __init__(
        self,
        runner: Runner,
        regions: Sequence[str] = (),
        concurrency: int = CONCURRENCY,
        *,
        fenced: Callable[[], None] = _end_process,
    ) -> None:
        self._follows_fleet = not regions
        self.regions = frozenset(regions or runner.router.fleet.regions)
        self._runner = runner
        self._database = runner.database
        self._concurrency = concurrency
        self._fenced = fenced
        self._under_way = JobsUnderWay(runner)
        self._stopping = asyncio.Event()
        self._unserved: set[Unserved] = set()
        self._working: set[asyncio.Task[None]] = set()
        slots = {tasks.queue_of(region): concurrency for region in self.regions}
        handlers = Handlers(self._admit, self._drive, self._finalize, self._tidy)
        self._engine = Engine(self._database.url, {**slots, tasks.JOBS_QUEUE: JOBS_AT_ONCE}, handlers)

    async def run(self) -> None:
        await self._announce()
        async with asyncio.TaskGroup() as group:
            sweeping = group.create_task(self._sweep())
            announcing = group.create_task(self._keep_announcing())
            await self._engine.run()
            self._stopping.set()
            await asyncio.wait({sweeping, announcing, *self._working})
        with suppress(BeaconError):
            await self._database.write(workers.leave, self._runner.owner)
            await self._database.write(leases.release_all, self._runner.owner)
            # What it gave back is the others' at once.
            await self._enqueue()

    def stop(self) -> None:
        """Sends nothing more, gives back what it drives, and ends."""
        self._stopping.set()
        self._runner.stop()
        self._engine.stop()

    async def _admit(self, task: int, job_id: str) -> None:
        async def work() -> None:
            await admit(self._database, job_id, self._runner.clock)
            await self._database.write(jobs.begin, job_id, self._runner.clock.wall())
            await self._enqueue(job_id)

        await self._do(task, job_id, work)

    async def _finalize(self, task: int, job_id: str) -> None:
        async def work() -> None:
            await self._runner.finalize(job_id, await self._database.read(jobs.spec_of, job_id))

        await self._do(task, job_id, work)

    async def _drive(self, task: int, job_id: str, number: int) -> None:
        async def work() -> None:
            spec = await self._fit_spec(job_id)
            shard = await self._take(job_id, number)
            if shard is None:
                return
            try:
                await self._drive_shard(shard, spec)
            finally:
                with suppress(BeaconError):
                    await self._database.write(leases.release_shard, shard, self._runner.owner)
            if (await self._database.read(jobs.get, job_id)).status is JobStatus.FINALIZING:
                await self._enqueue(job_id)

        await self._do(task, job_id, work)

    async def _do(self, task: int, job_id: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does a task's work. It goes on though the engine ends under it, which it does without its database: who may
        drive is decided by leases, and what is under way must not be given up."""
        if self._stopping.is_set():
            return
        working = asyncio.create_task(self._do_or_leave(task, job_id, work))
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        await asyncio.shield(working)

    async def _do_or_leave(self, task: int, job_id: str, work: Callable[[], Awaitable[None]]) -> None:
        """What cannot be done now stays owed: the sweep, here or elsewhere, enqueues it again."""
        try:
            await work()
        except InputError as error:
            log.error("job is left to others", job=job_id, why=error.explain())
            with suppress(BeaconError):
                await self._database.write_at_once(tasks.postpone, task, REFUSED_PAUSE_S)
        except BeaconError as error:
            log.error("task cannot be done now", job=job_id, why=error.what, where=error.where, todo=error.todo)
            with suppress(BeaconError):
                await self._database.write_at_once(tasks.postpone, task, PATIENCE_S)

    async def _fit_spec(self, job_id: str) -> JobSpec:
        """The job as far as this worker serves it. Raises InputError where its fleet is not one for the job."""
        whole = await self._database.read(jobs.spec_of, job_id)
        spec = whole.model_copy(update={"regions": tuple(r for r in whole.regions if r in self.regions)})
        if (await self._database.read(jobs.get, job_id)).stop_kind is None:
            submitted = await self._database.read(jobs.fleet_of, job_id)
            check_same_kind(spec, submitted, self._runner.router.fleet, f"job {job_id}")
        return spec

    async def _take(self, job_id: str, number: int) -> Shard | None:
        runner = self._runner
        now, dead = runner.clock.wall(), await runner.dead_owners()
        lease = (job_id, number, runner.owner, now, now + runner.lease_s, dead)
        return await self._database.write(leases.take_this_shard, *lease)

    async def _drive_shard(self, shard: Shard, spec: JobSpec) -> None:
        async with self._under_way.sharing(shard.job_id, spec) as drive:
            while not await drive.drive_shard(shard):
                if drive.interrupted:
                    return
                if not await self._database.read(leases.holds, shard):
                    log.error("shard was taken over by another worker", job=shard.job_id, shard=shard.number)
                    self._fenced()
                    return

    async def _sweep(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SWEEP_S)
                return
            try:
                await self._runner.fire_schedules()
                await self._follow_fleet()
                await self._enqueue()
                await self._tidy()
                await self._tell_unserved()
            except BeaconError as error:
                log.warning("no look for lost work", why=error.what, where=error.where)

    async def _enqueue(self, job_id: str | None = None) -> None:
        dead = await self._runner.dead_owners()
        await self._database.write_at_once(tasks.enqueue_owed, SILENT_S, dead, job_id)

    async def _tidy(self) -> None:
        await self._database.write_at_once(tasks.clear_abandoned, SILENT_S)

    async def _follow_fleet(self) -> None:
        """Serves what its fleet has gained. What it lost is not given up: a reload may bring it back."""
        gained = frozenset(self._runner.router.fleet.regions) - self.regions
        if not (self._follows_fleet and gained):
            return
        self.regions |= gained
        for region in gained:
            self._engine.add(tasks.queue_of(region), self._concurrency)
        log.info("regions of the fleet are served from now on", regions=sorted(gained))
        await self._announce()

    async def _tell_unserved(self) -> None:
        """Says once of each job and region that no living worker serves it."""
        dead = await self._runner.dead_owners()
        found = await self._database.read(workers.unserved, self._runner.clock.wall(), dead)
        told = {(lacking.job_id, lacking.region) for lacking in self._unserved}
        for lacking in found:
            if (lacking.job_id, lacking.region) not in told:
                log.warning("job waits for a worker", job=lacking.job_id, why=lacking.why, todo=lacking.todo)
        self._unserved = set(found)

    async def _announce(self) -> None:
        now = self._runner.clock.wall()
        about = (self._runner.owner, self.regions, self._concurrency, now, now + self._runner.lease_s)
        await self._database.write(workers.announce, *about)

    async def _keep_announcing(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._runner.lease_s / RENEWALS)
                return
            with suppress(BeaconError):
                await self._announce()
