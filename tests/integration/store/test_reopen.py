"""Retrying what failed: the job opens its next generation, and nothing completed is touched."""

from __future__ import annotations

import pytest

from beacon.domain.states import ExecutionStatus, JobStatus, Verdict
from beacon.errors import ConflictError
from beacon.store import executions, interventions, jobs, leases, reports
from beacon.store.executions import Filter
from beacon.store.group import record_group
from tests.integration.store.test_group import finish, open_works, start, submitted_job


async def finished_job(database, spec, *, failing: int) -> str:
    job_id, shards = await submitted_job(database, spec)
    works = await open_works(database, job_id, shards)
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    ends = [
        finish(*work, status=ExecutionStatus.FAILED if n < failing else ExecutionStatus.COMPLETED)
        for n, work in enumerate(works)
    ]
    await database.write(record_group, job_id, [], ends, 6.0)
    for shard in shards:
        await database.write(leases.release_shard, shard, "me")
    return job_id


async def completed_job(database, spec, *, failing: int) -> str:
    job_id = await finished_job(database, spec, failing=failing)
    await database.write(reports.finish_job, job_id, JobStatus.COMPLETED, Verdict.UNMET, 7.0)
    return job_id


async def test_a_retry_reopens_only_what_failed_and_the_barrier_closes_again(database, spec):
    job_id = await completed_job(database, spec, failing=3)
    reopened = await database.write(interventions.reopen, job_id, Filter(), 8.0)
    assert (reopened.count, reopened.generation) == (3, 2)
    job = await database.read(jobs.get, job_id)
    assert (job.status, job.done, job.counts["retrying"], job.counts["completed"]) == (JobStatus.RUNNING, 13, 3, 13)
    taken = [await database.write(leases.take_shard, job_id, r, "me", 9.0, 99.0) for r in spec.regions]
    works = await open_works(database, job_id, [shard for shard in taken if shard])
    assert len(works) == 3
    await database.write(record_group, job_id, [start(*work, number=2) for work in works], [], 10.0)
    recorded = await database.write(record_group, job_id, [], [finish(*work, number=2) for work in works], 11.0)
    assert recorded.job_status is JobStatus.FINALIZING
    shown = await database.read(executions.get, works[0][1].id)
    assert (shown["status"], shown["attempts"], shown["kind"]) == ("completed", 2, None)


async def test_a_retry_twice_reopens_nothing_more(database, spec):
    job_id = await completed_job(database, spec, failing=2)
    await database.write(interventions.reopen, job_id, Filter(), 8.0)
    again = await database.write(interventions.reopen, job_id, Filter(), 9.0)
    assert (again.count, again.generation) == (0, 2)


async def test_a_retry_by_kind_leaves_the_others(database, spec):
    job_id = await completed_job(database, spec, failing=2)
    reopened = await database.write(interventions.reopen, job_id, Filter(kinds=("rate_limited",)), 8.0)
    assert reopened.count == 0
    assert (await database.read(jobs.get, job_id)).status is JobStatus.COMPLETED


async def test_a_retry_while_finalizing_is_refused_with_what_to_do(database, spec):
    job_id = await finished_job(database, spec, failing=1)
    with pytest.raises(ConflictError, match="finalizing") as refused:
        await database.write(interventions.reopen, job_id, Filter(), 7.0)
    assert "then retry" in refused.value.todo
