"""Finalizing: all outcomes are recorded; the rest is classified, the report made, the job sealed and closed."""

from __future__ import annotations

from beacon.domain.clock import Clock
from beacon.domain.spec import JobSpec
from beacon.domain.states import JobStatus, Verdict
from beacon.errors import BeaconError, DatabaseError
from beacon.runner.analyst import Analyst
from beacon.runner.classification import classify_rest
from beacon.runner.sealing import seal
from beacon.store import evidence, executions, jobs, reports
from beacon.store.database import Database


async def finalize(database: Database, job_id: str, spec: JobSpec, analyst: Analyst, clock: Clock) -> None:
    """Brings a job from `finalizing` to its end.

    A job that cannot be analysed or sealed is `failed`, with the reason; every result stays. Raises DatabaseError,
    which leaves the job `finalizing` for another try.
    """
    try:
        await database.write(reports.step, job_id, "classifying", clock.wall())
        await classify_rest(database, job_id, spec, analyst, clock)
        await database.write(reports.step, job_id, "analysing", clock.wall())
        document = await analyst.ask("report_document", database.url, job_id)
        version = await database.write(reports.add_report, job_id, document["method"], document, clock.wall())
        sealed = await seal(database, await database.read(jobs.get, job_id), version, analyst, clock)
    except DatabaseError:
        raise
    except BeaconError as error:
        then = f"{error.explain()}\n  then: beacon retry {job_id} --finalize"
        await database.write(reports.fail_job, job_id, then, clock.wall())
        return
    job = await database.read(jobs.get, job_id)
    passed = await database.read(executions.regions_done, job_id)
    stopped_by_user = job.stop_kind == "cancelled" and job.counts["cancelled"] > 0
    status = JobStatus.CANCELLED if stopped_by_user else JobStatus.COMPLETED
    verdict = verdict_of(spec, passed)
    await database.write(evidence.close_sealed, job_id, sealed, status, verdict, clock.wall())


def verdict_of(spec: JobSpec, regions: dict[str, tuple[int, int]]) -> Verdict:
    """`met` where enough regions have enough of their executions completed (DESIGN section 3)."""
    passing = sum(completed / total >= spec.success.min_rate for completed, total in regions.values())
    needed = len(spec.regions) if spec.success.min_regions is None else spec.success.min_regions
    return Verdict.MET if passing >= needed else Verdict.UNMET
