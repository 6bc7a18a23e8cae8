"""The embedded runner: one process that takes shards under leases, drives them, and finalizes jobs.

Any number of them may share a database; leases and epochs decide who drives what.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from beacon.domain.clock import Clock
from beacon.domain.failure import FailureKind
from beacon.domain.spec import JobSpec
from beacon.domain.states import JobStatus
from beacon.errors import BeaconError, DatabaseError, InputError
from beacon.router.router import Router
from beacon.runner.admission import admit
from beacon.runner.analyst import Analyst
from beacon.runner.budget import RetryBudget
from beacon.runner.classification import classify_until
from beacon.runner.drive import Drive
from beacon.runner.finalize import finalize
from beacon.runner.handing_in import LOOK_S, hand_in_left_behind, hand_in_own
from beacon.runner.owner import LEASE_S, RENEWALS, is_dead, new_owner
from beacon.runner.patience import PatientDatabase
from beacon.runner.pausing import FOLLOW_S, Pausing
from beacon.runner.presence import Presence
from beacon.runner.same_fleet import check_same_kind
from beacon.runner.schedule import fire_due
from beacon.runner.spool import Spool
from beacon.store import jobs, leases, tasks, workers
from beacon.store.database import Database
from beacon.store.jobs import Job
from beacon.store.leases import Shard

log = structlog.get_logger()

WATCH_S = 0.25
"""How often a running job is looked at for a stop or a retry that was asked for, and for its own limits."""
IDLE_S = 0.5
"""How often a runner looks for work that another process made or left behind."""
SCHEDULES_S = 5.0
"""How often it is looked whether a schedule's time has come."""
PATIENCE_S = 5.0
"""Before a job that could not be driven is tried again."""
SHARDS_AT_ONCE = 64
"""Per region and job: bounds what is held in memory while slow cells lag behind fast ones."""


class Runner:
    """Drives jobs of one database over one router. Open it with `async with`; `stop` interrupts it cleanly.

    `presence` says whether the database is there. While it is away, what ended waits in the `spool`; it is waited for,
    `hold_s` at most where that is not None.
    """

    def __init__(
        self,
        database: Database,
        router: Router,
        clock: Clock,
        *,
        analyst: Analyst,
        rng: random.Random | None = None,
        lease_s: float = LEASE_S,
        spool: Spool | None = None,
        hold_s: float | None = None,
    ) -> None:
        self.lease_s = lease_s
        self._spool = spool if spool is not None else Spool()
        self.presence = Presence(clock, self._spool.__len__)
        self.database = PatientDatabase(database, clock, presence=self.presence, hold_s=hold_s)
        self.router = router
        self.clock = clock
        self.owner = new_owner()
        self.stopping = False
        self._analyst = analyst
        self._rng = rng or random.Random()
        self._budgets: defaultdict[tuple[str, str], RetryBudget] = defaultdict(RetryBudget)
        self._drives: dict[str, Drive] = {}
        self._refused: set[str] = set()
        self._schedules_at = 0.0
        self._handed_over: dict[str, JobStatus] = {}
        self._finalizing: set[str] = set()
        self._passed_over: set[Path] = set()
        self._pausing = Pausing(self.database, router)
        self._beside: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()

    async def __aenter__(self) -> Runner:
        # Before any shard is taken: what is answered already is not to be asked again.
        await self._hand_in_left_behind()
        await self._pausing.follow()
        beside = (self._renew_leases(), self._follow_pauses(), self._look_for_left_behind())
        self._beside = [asyncio.create_task(each) for each in beside]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        for task in self._beside:
            task.cancel()
        if self._beside:
            await asyncio.wait(self._beside)
        try:
            await self.database.write(leases.release_all, self.owner)
        finally:
            self._spool.close()

    def stop(self) -> None:
        """Sends nothing more and gives up what is under way; every job stays resumable."""
        self.stopping = True
        self._stopped.set()
        self.database.stop()
        for drive in self._drives.values():
            drive.interrupt()

    async def serve(self) -> None:
        """Takes up every unfinished job of the database that is not left to workers, until stopped."""
        under_way: dict[str, asyncio.Task[None]] = {}
        fleet = self.router.fleet
        async with asyncio.TaskGroup() as group:
            while not self.stopping:
                if self.router.fleet is not fleet:
                    fleet = self.router.fleet
                    self._refused.clear()  # it may serve what the fleet before it did not
                await self.fire_schedules()
                under_way = {job_id: task for job_id, task in under_way.items() if not task.done()}
                for job in await self.database.read(jobs.unfinished):
                    if job.id in under_way or job.id in self._refused or await self._is_left_to_workers(job):
                        continue
                    under_way[job.id] = group.create_task(self._drive_patiently(job.id))
                await self._pause(IDLE_S)

    async def fire_schedules(self) -> None:
        """Makes the jobs whose time has come, at most every `SCHEDULES_S` seconds."""
        if self.clock.monotonic() < self._schedules_at:
            return
        self._schedules_at = self.clock.monotonic() + SCHEDULES_S
        try:
            await fire_due(self.database, self.router.fleet, self.clock)
        except DatabaseError as error:
            log.error("schedules wait for the database", why=error.what, where=error.where, todo=error.todo)

    async def _is_left_to_workers(self, job: Job) -> bool:
        """Whether living workers serve all regions of the job: then it is handed to them."""
        now = self.clock.wall()
        dead = await self.dead_owners()
        served = await self.database.read(workers.served_regions, now, dead)
        if not served or not served.issuperset((await self.database.read(jobs.spec_of, job.id)).regions):
            return False
        if self._handed_over.get(job.id) != job.status:
            self._handed_over[job.id] = job.status
            await self.database.write_at_once(tasks.enqueue_owed, self.lease_s, dead, job.id)
        return True

    async def _drive_patiently(self, job_id: str) -> None:
        """Drives the job; where that is impossible now, says why and leaves it for a later try."""
        try:
            await self.drive(job_id)
        except InputError as error:
            self._refused.add(job_id)
            log.error("job is left alone", job=job_id, why=error.explain())
        except BeaconError as error:
            log.error("job cannot be driven", job=job_id, why=error.what, where=error.where, todo=error.todo)
            await self._pause(PATIENCE_S)

    async def drive(self, job_id: str) -> None:
        """Brings one job as far as it can: to its end, or until this runner is stopped.

        Returns too where the rest is in the hands of another living runner that ended it. Raises DatabaseError
        and other BeaconErrors that make going on impossible, InputError where this runner's fleet is not one for the
        job and the job may still send; the job stays resumable.
        """
        spec = await self.database.read(jobs.spec_of, job_id)
        if (await self.database.read(jobs.get, job_id)).stop_kind is None:
            submitted = await self.database.read(jobs.fleet_of, job_id)
            check_same_kind(spec, submitted, self.router.fleet, f"job {job_id}")
        # What an earlier try could not give back, because the database was away, is nobody's now.
        await self.database.write(leases.release_job, job_id, self.owner)
        try:
            await admit(self.database, job_id, self.clock)
            await self.database.write(jobs.begin, job_id, self.clock.wall())
            await self._bring_on(job_id, spec)
        finally:
            # What this runner does not go on with is free for others at once.
            with suppress(DatabaseError):
                await self.database.write(leases.release_job, job_id, self.owner)

    async def _bring_on(self, job_id: str, spec: JobSpec) -> None:
        while not self.stopping:
            job = await self.database.read(jobs.get, job_id)
            if job.over:
                return
            if job.status is JobStatus.RUNNING:
                await self._run(job, spec)
                job = await self.database.read(jobs.get, job_id)
            finalized = job.status is JobStatus.FINALIZING and await self.finalize(job_id, spec)
            if not finalized and not job.over:
                await self._pause(IDLE_S)

    async def finalize(self, job_id: str, spec: JobSpec) -> bool:
        """Brings a job that is finalizing to its end; False where another living runner does."""
        now = self.clock.wall()
        dead = await self.dead_owners()
        lease = (job_id, self.owner, now, now + self.lease_s, dead)
        if not await self.database.write(leases.take_finalizing, *lease):
            return False
        self._finalizing.add(job_id)
        try:
            await self._unless_stopped(finalize(self.database, job_id, spec, self._analyst, self.clock))
        finally:
            self._finalizing.discard(job_id)
        return True

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Does `work`, which can be repeated, or gives it up when this runner is stopped."""
        working = asyncio.create_task(work)
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
        if not working.cancelled():
            working.result()

    async def _run(self, job: Job, spec: JobSpec) -> None:
        """Drives every shard that can be had."""
        idle: set[str] = set()
        async with self.attending(job, spec) as drive, asyncio.TaskGroup() as regions:
            for region in spec.regions:
                regions.create_task(self._drive_region(drive, region, idle))

    @asynccontextmanager
    async def attending(self, job: Job, spec: JobSpec) -> AsyncIterator[Drive]:
        """The job's drive; while it is open its limits are watched and its answers classified.

        Raises the first BeaconError that ended it.
        """
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as helpers, self._drive(job, spec) as drive:
                helpers.create_task(self._watch(drive, over))
                helpers.create_task(
                    classify_until(over, self.database, job.id, spec, self._analyst, self.clock, self.owner)
                )
                try:
                    yield drive
                finally:
                    over.set()
        except BaseExceptionGroup as group:
            # Not `except*`: before Python 3.11.4 what is raised in one is wrapped in a group again.
            expected, others = group.split(BeaconError)
            if expected is None or others is not None:
                raise
            raise _first(expected) from None

    @asynccontextmanager
    async def _drive(self, job: Job, spec: JobSpec) -> AsyncIterator[Drive]:
        """The job's drive, known to `stop` for as long as it is open."""
        await hand_in_own(self.database, self._spool, job.id, self.clock)
        drive = Drive(
            job.id,
            spec,
            database=self.database,
            spool=self._spool,
            router=self.router,
            clock=self.clock,
            rng=self._rng,
            budgets=self._budgets,
        )
        self._drives[job.id] = drive
        try:
            async with drive:
                if self.stopping:
                    drive.interrupt()
                else:
                    # Before anything is sent: who drove the job before may have ended just when a limit was reached.
                    await self._stop_as_asked(drive, job)
                yield drive
        finally:
            del self._drives[job.id]

    async def _drive_region(self, drive: Drive, region: str, idle: set[str]) -> None:
        """Takes the region's shards one by one, the next as soon as one of its models has nothing left to send.

        Ends when every region is `idle`: until then an operator's retry may reopen a shard.
        """
        under_way: set[asyncio.Task[None]] = set()
        try:
            while not drive.interrupted and len(idle) < len(drive.dry):
                drive.dry[region].clear()
                shard = await self._take_shard(drive.job_id, region)
                if shard is not None:
                    drive.exhausted.discard(region)
                    idle.discard(region)
                    under_way.add(asyncio.create_task(self._drive_shard(drive, shard)))
                else:
                    drive.exhausted.add(region)
                    if not under_way:
                        idle.add(region)
                if len(idle) == len(drive.dry):
                    drive.wake()
                else:
                    await self._until_dry(drive, region, under_way)
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()
            # Their ends are waited for: a shard that is still being released must not outlive its drive.
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _until_dry(self, drive: Drive, region: str, under_way: set[asyncio.Task[None]]) -> None:
        dry = asyncio.create_task(drive.dry[region].wait())
        try:
            while not dry.done() or len(under_way) >= SHARDS_AT_ONCE:
                waiting_for = under_way if len(under_way) >= SHARDS_AT_ONCE else {dry, *under_way}
                done, _ = await asyncio.wait(waiting_for, return_when=asyncio.FIRST_COMPLETED)
                for task in done & under_way:
                    under_way.discard(task)
                    task.result()
                if done - {dry}:
                    return
        finally:
            dry.cancel()

    async def _drive_shard(self, drive: Drive, shard: Shard) -> None:
        await drive.drive_shard(shard)
        await self.database.write(leases.release_shard, shard, self.owner)

    async def _take_shard(self, job_id: str, region: str) -> Shard | None:
        now = self.clock.wall()
        dead = await self.dead_owners()
        return await self.database.write(leases.take_shard, job_id, region, self.owner, now, now + self.lease_s, dead)

    async def dead_owners(self) -> list[str]:
        """Those of this host that hold leases and have ended."""
        return [owner for owner in await self.database.read(leases.owners) if is_dead(owner)]

    async def _watch(self, drive: Drive, over: asyncio.Event) -> None:
        """Notices what others ask for, a stop or a retry, and the job's own limits."""
        while not await _wait(over, WATCH_S):
            await self._stop_as_asked(drive, await self.database.read(jobs.get, drive.job_id))
            await drive.end_closed()
            if drive.exhausted:
                now = self.clock.wall()
                free = await self.database.read(leases.regions_of_free_shards, drive.job_id, now)
                drive.wake(free & drive.exhausted)

    async def _stop_as_asked(self, drive: Drive, job: Job) -> None:
        """Ends what is open of a job that somebody stopped, or that has reached its deadline or its cost ceiling."""
        limits = drive.spec.limits
        if job.stop_kind is not None:
            drive.stop(FailureKind(job.stop_kind))
        elif await self._is_past_deadline(job.id, limits.job_deadline):
            await drive.request_stop(FailureKind.JOB_DEADLINE)
        elif limits.max_cost_usd is not None and job.cost_usd >= limits.max_cost_usd:
            await drive.request_stop(FailureKind.COST_CEILING)

    async def _is_past_deadline(self, job_id: str, limit: float | None) -> bool:
        return limit is not None and await self.database.read(jobs.is_past, job_id, limit, self.clock.wall())

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self.lease_s / RENEWALS)
            now = self.clock.wall()
            driven = {job_id: tuple(drive.shards) for job_id, drive in self._drives.items()}
            lease = (self.owner, now, now + self.lease_s, driven, tuple(self._finalizing))
            try:
                await self.database.write(leases.renew, *lease)
            except DatabaseError as error:
                log.warning("leases could not be renewed, trying again", why=error.what, where=error.where)

    async def _follow_pauses(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self._pausing.follow()

    async def _look_for_left_behind(self) -> None:
        while self._spool.folder is not None:
            await asyncio.sleep(LOOK_S)
            await self._hand_in_left_behind()

    async def _hand_in_left_behind(self) -> None:
        if self._spool.folder is None:
            return
        try:
            await hand_in_left_behind(self.database, self._spool.folder, self.clock, self._passed_over)
        except DatabaseError as error:
            log.warning("what others left behind could not be handed in, trying again", why=error.what)

    async def _pause(self, seconds: float) -> None:
        await _wait(self._stopped, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Waits at most so long; whether the event is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()


def _first(group: BaseExceptionGroup[BeaconError]) -> BeaconError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
