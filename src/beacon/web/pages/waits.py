"""Who waits for what: a sentence or two for each job that is under way, from the database alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus
from beacon.store import jobs, pauses, waits, workers
from beacon.store.jobs import Job
from beacon.store.pauses import Pause
from beacon.store.waits import Owed, Region, UnderWay
from beacon.store.workers import WorkerRow
from beacon.web.portal import Portal
from beacon.web.text import counted, cut, moment, plain, words

T = TypeVar("T", Owed, UnderWay, Region)
MOST_JOBS = 20
"""Running jobs of one page of which this is told: their open executions have to be read for it."""
MOST_TOLD = 4


async def waits_of(portal: Portal, found: Sequence[Job]) -> dict[str, list[str]]:
    """By job, of those that are queued or running; most pressing first."""
    open_jobs = [job for job in found if job.status in (JobStatus.QUEUED, JobStatus.RUNNING)][:MOST_JOBS]
    if not open_jobs:
        return {}
    now = portal.clock.wall()
    read = portal.database.read
    told = await read(waits.of, [job.id for job in open_jobs if job.status is JobStatus.RUNNING], now)
    paused = await read(pauses.current)
    alive = [worker for worker in await read(workers.listed, now) if worker.alive]
    owed, under_way, regions = _by_job(told.owed), _by_job(told.under_way), _by_job(told.regions)
    lines: dict[str, list[str]] = {}
    for job in open_jobs:
        fleet = await read(jobs.fleet_of, job.id)
        if job.status is JobStatus.QUEUED:
            lines[job.id] = _queued(job, fleet, paused)
            continue
        mine = regions.get(job.id, [])
        sentences = [
            *_stopping(job),
            *_nobody(mine, alive),
            *_paused(mine, fleet, paused),
            *_starting(under_way.get(job.id, []), fleet, (await portal.boards.spec(job.id)).limits.execution_deadline),
            *_owed(owed.get(job.id, [])),
            *_places(job),
        ]
        lines[job.id] = sentences[:MOST_TOLD]
    return lines


def _by_job(rows: Sequence[T]) -> Mapping[str, list[T]]:
    found: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[row.job_id].append(row)
    return found


def _stopping(job: Job) -> list[str]:
    return ["stopping: what was sent may still be answered"] if job.stop_kind else []


def _queued(job: Job, fleet: Fleet, paused: Sequence[Pause]) -> list[str]:
    what = "waits for a runner to start it" if job.admitted else "is being admitted, then waits for a runner"
    everywhere = [Region(job.id, region, 1, 0, job.total) for region in fleet.regions]
    return [what, *_paused(everywhere, fleet, paused)]


def _nobody(regions: Sequence[Region], alive: Sequence[WorkerRow]) -> list[str]:
    """Regions of which nobody drives a shard: no worker serves them, or the one that did is gone."""
    idle = [region for region in regions if not region.driven]
    if not idle:
        return []
    if alive:
        served: frozenset[str] = frozenset().union(*(worker.regions for worker in alive))
        unserved = [region.region for region in idle if region.region not in served]
        if unserved:
            return [f"no worker serves {', '.join(unserved)}: {_left(idle, unserved)} wait"]
    if len(idle) == len(regions):
        return ["no process drives it: one that runs jobs takes it up, or `beacon run --resume` does"]
    names = [region.region for region in idle]
    return [f"nobody drives {', '.join(names)} now: {_left(idle, names)} wait"]


def _left(regions: Sequence[Region], names: Collection[str]) -> str:
    return counted(sum(region.left for region in regions if region.region in names), "execution")


def _paused(regions: Sequence[Region], fleet: Fleet, paused: Sequence[Pause]) -> list[str]:
    here = {region.region for region in regions}
    providers = {provider.name for provider in fleet.providers if provider.region in here}
    return [
        f"{pause.name} is paused since {(moment(pause.paused_at) or '')[:5]}: {cut(plain(pause.why), 60)}"
        for pause in paused
        if pause.name in here or pause.name in providers
    ]


def _starting(under_way: Sequence[UnderWay], fleet: Fleet, limit_s: float) -> list[str]:
    """An attempt that may begin with a cold start has a deadline later than an execution's own time."""
    cold = {provider.name: provider.cold_start for provider in fleet.providers}
    return [
        f"{row.provider} may be starting cold ({cold[row.provider]:g} s): {counted(row.count, 'request')} sent"
        for row in under_way
        if cold.get(row.provider) and row.longest_s is not None and row.longest_s > limit_s + 0.5 * cold[row.provider]
    ]


def _owed(owed: Sequence[Owed]) -> list[str]:
    told = []
    for row in owed:
        at = moment(row.next_at)
        where = f" at {row.provider}" if row.provider else ""
        why = f"because of {words(row.kind)}" if row.kind else "to be tried again"
        when = f", next at {at}" if at else ""
        told.append(f"{counted(row.count, 'retry', 'retries')} {why}{where}{when}")
    return told


def _places(job: Job) -> list[str]:
    pending, running = job.counts["pending"], job.counts["running"]
    if pending and running:
        return [f"{running:,} under way; {pending:,} wait for a place"]
    return []
