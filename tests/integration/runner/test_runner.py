"""Jobs driven over real HTTP: statuses, retries, stops, interruptions."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from aiohttp import web

from beacon.domain.failure import FailureKind
from beacon.domain.states import JobStatus, Verdict
from beacon.errors import ConflictError, DatabaseError, InputError
from beacon.runner import runner as runner_module
from beacon.runner.admission import admit
from beacon.store import events, executions, interventions, jobs, ledger, reports, tables
from beacon.store.executions import Filter
from tests.integration.runner.conftest import CLOCK
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def answering(_number, _body, _request) -> web.StreamResponse:
    return answer()


def answering_after(seconds: float) -> Scripted:
    async def act(_number, _body, _request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return answer()

    return Scripted(act)


async def rows_of(bench, job_id: str) -> list[dict]:
    return await bench.database.read(executions.page, job_id)


async def test_a_job_is_asked_of_every_region_and_completed_with_a_report(bench):
    us, eu = Scripted(answering), Scripted(answering)
    async with serving(us, eu):
        job = await bench.run(fleet_of({"us": us, "eu": eu}))
    assert (job.status, job.verdict, job.done) == (JobStatus.COMPLETED, Verdict.MET, 8)
    assert len(us.bodies) == len(eu.bodies) == 4
    rows = await rows_of(bench, job.id)
    assert {row["status"] for row in rows} == {"completed"}
    assert all(row["queued_at"] <= row["started_at"] <= row["finished_at"] <= row["persisted_at"] for row in rows)
    assert all(row["label"] for row in rows)
    report = await bench.database.read(reports.latest_report, job.id)
    assert report["method"] == "beacon.analysis/v1"
    assert job.barrier_gap_ms is not None


async def test_an_execution_that_was_retried_and_succeeded_is_completed_with_all_its_attempts(bench):
    async def act(number, _body, _request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "busy"}}, status=500) if number <= 2 else answer()

    us = Scripted(act)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}, concurrency=1), questions=1, repeats=1)
    row = (await rows_of(bench, job.id))[0]
    assert (row["status"], row["attempts"], row["kind"], row["error"]) == ("completed", 3, None, None)
    attempts = await bench.database.read(executions.attempts_of, row["id"])
    assert [attempt["status"] for attempt in attempts] == ["failed", "failed", "answered"]
    assert max(us.keys.values()) == 1
    told = await bench.database.read(events.after, job.id, 0)
    moves = [move[1] for event in told for move in event.data.get("moves", [])]
    assert moves == ["running", "retrying", "running", "retrying", "running", "completed"]


async def test_an_execution_that_fails_says_why_and_does_not_fail_the_others(bench):
    async def act(_number, body, _request) -> web.StreamResponse:
        if "Question 0" in body["messages"][-1]["content"]:
            return web.json_response({"error": {"message": "no such thing"}}, status=400)
        return answer()

    us = Scripted(act)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), questions=2, repeats=1)
    failed, completed = sorted(await rows_of(bench, job.id), key=lambda row: row["status"], reverse=True)
    assert (failed["status"], failed["kind"], failed["attempts"]) == ("failed", "provider_error", 1)
    assert "us-a" in failed["error"]
    assert "no such thing" in failed["error"]
    assert completed["status"] == "completed"
    assert job.verdict is Verdict.UNMET


async def test_a_slow_region_does_not_hold_up_a_fast_one(bench):
    us, eu = answering_after(0.0), answering_after(5.0)
    async with serving(us, eu):
        fleet = fleet_of({"us": us, "eu": eu})
        job_id = await bench.submit(fleet, questions=10, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while len(us.bodies) < 20:
                await asyncio.sleep(0.02)
            assert eu.in_flight == 4
            runner.stop()
            await driving


async def test_cancel_stops_sending_and_keeps_what_had_finished(bench):
    release = asyncio.Event()

    async def act(number, _body, _request) -> web.StreamResponse:
        if number > 3:
            await release.wait()
        return answer()

    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=10, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while len(us.bodies) < 7:
                await asyncio.sleep(0.02)
            assert await bench.database.write(interventions.request_stop, job_id, FailureKind.CANCELLED.value, 1.0)
            await asyncio.wait_for(driving, 20)
        job = await bench.job(job_id)
        assert len(us.bodies) == 7
        release.set()
    assert (job.status, job.counts["completed"], job.counts["cancelled"]) == (JobStatus.CANCELLED, 3, 17)
    assert (await bench.database.read(reports.latest_report, job_id))["method"]


async def test_an_interrupted_job_is_resumed_and_every_key_was_sent_once(bench):
    us = answering_after(0.05)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=10, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while len(us.bodies) < 6:
                await asyncio.sleep(0.01)
            runner.stop()
            await asyncio.wait_for(driving, 20)
        stopped = await bench.job(job_id)
        assert stopped.status is JobStatus.RUNNING
        assert stopped.counts["running"] == 0
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    job = await bench.job(job_id)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, 20)
    assert max(us.keys.values()) == 1
    assert all(row["attempts"] <= 2 for row in await rows_of(bench, job_id))


async def test_failed_executions_are_retried_into_the_next_generation(bench):
    healthy = asyncio.Event()

    async def act(_number, body, _request) -> web.StreamResponse:
        if "Question 0" in body["messages"][-1]["content"] and not healthy.is_set():
            return web.json_response({"error": {"message": "down"}}, status=400)
        return answer()

    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job = await bench.run(fleet, questions=2, repeats=2)
        assert (job.counts["failed"], job.verdict) == (2, Verdict.UNMET)
        healthy.set()
        await bench.database.write(interventions.reopen, job.id, Filter(), 1.0)
        async with bench.runner(fleet) as runner:
            await runner.drive(job.id)
    job = await bench.job(job.id)
    assert (job.status, job.verdict, job.generation) == (JobStatus.COMPLETED, Verdict.MET, 2)
    assert {row["status"] for row in await rows_of(bench, job.id)} == {"completed"}
    assert await bench.database.read(reports.latest_report, job.id, 1) != await bench.database.read(
        reports.latest_report, job.id, 2
    )


async def test_two_runners_on_one_database_send_everything_once(bench):
    us, eu = answering_after(0.01), answering_after(0.01)
    async with serving(us, eu):
        fleet = fleet_of({"us": us, "eu": eu})
        job_id = await bench.submit(fleet, questions=20, repeats=2)
        async with bench.runner(fleet) as one, bench.runner(fleet) as other:
            await asyncio.wait_for(asyncio.gather(one.drive(job_id), other.drive(job_id)), 60)
    job = await bench.job(job_id)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, 80)
    assert len(us.bodies) + len(eu.bodies) == 80


async def test_a_job_deadline_ends_the_rest_with_its_own_reason(bench):
    us = answering_after(0.4)
    async with serving(us):
        fleet = fleet_of({"us": us}, concurrency=1)
        job = await bench.run(fleet, questions=10, repeats=1, limits={"job_deadline": "1s"})
    rows = await rows_of(bench, job.id)
    cut = [row for row in rows if row["status"] == "cancelled"]
    assert job.status is JobStatus.COMPLETED
    assert cut
    assert {row["kind"] for row in cut} == {"job_deadline"}
    assert len(cut) + job.counts["completed"] == 10


async def test_a_cost_ceiling_ends_the_rest_and_lets_what_is_paid_for_finish(bench):
    us = answering_after(0.02)
    async with serving(us):
        cost = {"input_per_mtok": 0.0, "output_per_mtok": 500_000.0}
        fleet = fleet_of({"us": us}, concurrency=1, cost=cost)
        job = await bench.run(fleet, questions=10, repeats=1, limits={"max_cost_usd": 3})
    kinds = {row["kind"] for row in await rows_of(bench, job.id) if row["status"] == "cancelled"}
    assert kinds == {"cost_ceiling"}
    assert job.cost_usd >= 3
    assert job.counts["completed"] == len(us.bodies)


@pytest.mark.parametrize(("on_unknown", "asked", "status"), [("retry", 2, "completed"), ("fail", 1, "failed")])
async def test_what_a_stopped_runner_left_at_an_endpoint_that_keeps_nothing_follows_the_job(
    bench, on_unknown, asked, status
):
    gate = asyncio.Event()

    async def act(_number, _body, _request) -> web.StreamResponse:
        await gate.wait()
        return answer()

    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=1, repeats=1, limits={"on_unknown": on_unknown})
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(60):
                while not us.in_flight:
                    await asyncio.sleep(0.01)
            runner.stop()
            await driving
        gate.set()
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    row = (await rows_of(bench, job_id))[0]
    assert (len(us.bodies), row["status"]) == (asked, status)
    assert row["kind"] == (None if status == "completed" else "outcome_unknown")


def _begun_earlier(connection: sa.Connection, job_id: str, seconds: float) -> None:
    """As if the job had begun so many seconds before it did."""
    earlier = tables.jobs.c.started_at - seconds
    connection.execute(sa.update(tables.jobs).where(tables.jobs.c.id == job_id).values(started_at=earlier))


async def test_who_takes_up_a_job_whose_deadline_passed_meanwhile_sends_nothing(bench):
    us = Scripted(answering)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=4, repeats=1, limits={"job_deadline": "60s"})
        await admit(bench.database, job_id, CLOCK)
        await bench.database.write(jobs.begin, job_id, CLOCK.wall())
        await bench.database.write(_begun_earlier, job_id, 61)
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    assert us.bodies == []
    assert {row["kind"] for row in await rows_of(bench, job_id)} == {"job_deadline"}


async def test_who_takes_up_a_job_that_has_cost_what_it_may_sends_nothing(bench):
    us = Scripted(answering)
    async with serving(us):
        fleet = fleet_of({"us": us}, cost={"input_per_mtok": 0.0, "output_per_mtok": 500_000.0})
        job_id = await bench.submit(fleet, questions=4, repeats=1, limits={"max_cost_usd": 3})
        await admit(bench.database, job_id, CLOCK)
        await bench.database.write(jobs.begin, job_id, CLOCK.wall())
        # As when a runner was killed between the group that reached the ceiling and the stop.
        await bench.database.write(ledger.change_job, job_id, cost_usd=3.0)
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    assert us.bodies == []
    assert {row["kind"] for row in await rows_of(bench, job_id)} == {"cost_ceiling"}


async def test_a_deadline_covers_all_attempts_and_is_a_time_out(bench):
    us = answering_after(30)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job = await bench.run(fleet, questions=1, repeats=1, limits={"execution_deadline": "0.3s"})
    row = (await rows_of(bench, job.id))[0]
    assert (row["status"], row["kind"]) == ("timed_out", "deadline_expired")
    assert "us-a" in row["error"]


async def test_cancel_in_full_swing_leaves_each_execution_with_one_end(bench):
    """Answers are being recorded while the stop comes: none of them may get a second end."""
    rng = random.Random(5)

    async def act(_number, _body, _request) -> web.StreamResponse:
        await asyncio.sleep(rng.uniform(0, 0.03))
        return answer()

    us, eu = Scripted(act), Scripted(act)
    async with serving(us, eu):
        fleet = fleet_of({"us": us, "eu": eu}, concurrency=32)
        for _ in range(2):
            job_id = await bench.submit(fleet, questions=20, repeats=6)
            async with bench.runner(fleet) as runner:
                driving = asyncio.create_task(runner.drive(job_id))
                while (await bench.job(job_id)).done < 40:
                    await asyncio.sleep(0.01)
                await bench.database.write(interventions.request_stop, job_id, FailureKind.CANCELLED.value, 1.0)
                await driving
            job = await bench.job(job_id)
            rows = await rows_of(bench, job_id)
            assert job.status is JobStatus.CANCELLED
            assert {row["id"] for row in rows if row["answer"] is not None} == {
                row["id"] for row in rows if row["status"] == "completed"
            }
            found = Counter(row["status"] for row in rows)
            assert found == {status: job.counts[status] for status in ("completed", "cancelled")}


async def test_a_runner_goes_on_after_the_database_could_not_be_written_for_a_while(bench, monkeypatch):
    monkeypatch.setattr(runner_module, "PATIENCE_S", 0.1)
    us = answering_after(0.05)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=10, repeats=2)
        async with bench.runner(fleet) as runner:
            serving_jobs = asyncio.create_task(runner.serve())
            while len(us.bodies) < 5:
                await asyncio.sleep(0.01)
            broken = asyncio.create_task(break_writes(bench.database, monkeypatch, seconds=0.5))
            await broken
            async with asyncio.timeout(60):
                while not (await bench.job(job_id)).over:
                    await asyncio.sleep(0.05)
            runner.stop()
            await serving_jobs
    job = await bench.job(job_id)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, 20)
    assert max(us.keys.values()) == 1


async def break_writes(database, monkeypatch, *, seconds: float) -> None:
    """Every write fails for a while, group commits too, as where the disk is full."""
    real = {name: getattr(database, name) for name in ("write", "write_at_once")}

    async def refused(*_args, **_kwargs):
        raise DatabaseError("the database cannot be written", where=database.url)

    for name in real:
        monkeypatch.setattr(database, name, refused)
    await asyncio.sleep(seconds)
    for name, write in real.items():
        monkeypatch.setattr(database, name, write)


async def test_a_job_for_real_providers_is_never_answered_by_simulated_ones(bench):
    us = Scripted(answering)
    async with serving(us):
        job_id = await bench.submit(fleet_of({"us": us}))
        async with bench.runner(fleet_of({"us": us}, simulated=True)) as runner:
            with pytest.raises(InputError, match="submitted for real providers"):
                await runner.drive(job_id)
    assert us.bodies == []
    assert (await bench.job(job_id)).status is JobStatus.QUEUED


async def test_a_retry_after_the_job_deadline_has_the_deadline_anew(bench):
    us = answering_after(0.4)
    async with serving(us):
        fleet = fleet_of({"us": us}, concurrency=1)
        job = await bench.run(fleet, questions=6, repeats=1, limits={"job_deadline": "1s"})
        before = job.counts["completed"]
        await bench.database.write(interventions.reopen, job.id, Filter(), time.time())
        async with bench.runner(fleet) as runner:
            await runner.drive(job.id)
    assert (await bench.job(job.id)).counts["completed"] > before


async def test_a_retry_over_the_cost_ceiling_is_refused_with_what_to_do(bench):
    us = answering_after(0.02)
    async with serving(us):
        cost = {"input_per_mtok": 0.0, "output_per_mtok": 500_000.0}
        fleet = fleet_of({"us": us}, concurrency=1, cost=cost)
        job = await bench.run(fleet, questions=10, repeats=1, limits={"max_cost_usd": 3})
    with pytest.raises(ConflictError, match="reached its ceiling"):
        await bench.database.write(interventions.reopen, job.id, Filter(), 1.0)
