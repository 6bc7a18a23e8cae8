"""What an execution waits for while it is under way, and where its time went once it is over."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from aiohttp import web

from beacon.cli.explain import lines
from beacon.domain.failure import Stage
from beacon.runner.explain import Explanation, explain
from beacon.store import executions
from tests.integration.runner.conftest import CLOCK
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def told(bench, job_id: str, providers=()) -> Explanation:
    (row,) = await bench.database.read(executions.page, job_id)
    return await explain(bench.database, row["id"], CLOCK.wall(), providers)


async def until_status(bench, job_id: str, status: str, providers=lambda: ()) -> Explanation:
    async with asyncio.timeout(60):
        while True:
            rows = await bench.database.read(executions.page, job_id)
            if rows and rows[0]["status"] == status:
                return await told(bench, job_id, providers())
            await asyncio.sleep(0.01)


async def test_an_execution_tells_at_each_step_what_it_waits_for_and_then_where_its_time_went(bench):
    gate = asyncio.Event()

    async def act(number, body, request):
        if number == 1:
            return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "1"})
        await gate.wait()
        return answer()

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            paused = await until_status(bench, job_id, "retrying")
            running = await until_status(bench, job_id, "running")
            gate.set()
            await driving
    over = await told(bench, job_id)

    assert paused.waits_for.what == "its next attempt, after a pause because of rate_limited"
    assert paused.waits_for.since == paused.attempts[0].finished_at
    assert 1.0 <= paused.waits_for.until - paused.waits_for.since <= 1.5
    text = "\n".join(lines(asdict(paused)))
    assert "attempt 1, us-a: failed, rate_limited" in text
    assert "waits for its next attempt" in text

    assert running.waits_for.what == "the answer of us-a to attempt 2"
    assert running.waits_for.since == running.attempts[1].written_at
    assert running.waits_for.until == running.deadline_at

    assert (over.status, over.waits_for) == ("completed", None)
    stages = {span.stage for span in over.waterfall.attempts[1].spans}
    assert {Stage.ROUTE, Stage.CONNECT, Stage.INFERENCE} <= stages
    text = "\n".join(lines(asdict(over)))
    assert "attempt 2, us-a: answered" in text
    assert "█" in text
    assert " ms" in text


async def test_a_cold_start_is_named_with_its_length(bench):
    gate = asyncio.Event()

    async def act(number, body, request):
        await gate.wait()
        return answer()

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider}, cold_start="90s")
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            running = await until_status(bench, job_id, "running")
            gate.set()
            await driving
    assert running.waits_for.stage == Stage.COLD_START
    assert "its cold start may take 90 s" in running.waits_for.what


async def test_a_provider_that_asked_for_a_pause_is_named_with_the_moment(bench):
    """Told by the router of the process that runs the job."""

    async def act(number, body, request):
        return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "60"})

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider}, concurrency=1)
        job_id = await bench.submit(fleet, questions=1, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(60):
                while runner.router.snapshot()[0].blocked_until is None:
                    await asyncio.sleep(0.01)
            rows = await bench.database.read(executions.page, job_id)
            pending = next(row for row in rows if row["status"] == "pending")
            blocked = await explain(bench.database, pending["id"], CLOCK.wall(), runner.router.snapshot())
            runner.stop()
            await driving
    assert blocked.waits_for.stage == Stage.ROUTE
    assert "us-a answered 429 with Retry-After 60.0 s" in blocked.waits_for.what
    assert 55 < blocked.waits_for.until - blocked.asked_at <= 60
    assert blocked.waits_for.since == blocked.queued_at


async def test_an_execution_that_waits_for_a_provider_to_start_is_told_until_when(bench):
    """Told by the router: one try of the starting provider is under way, the rest wait for it."""
    gate = asyncio.Event()

    async def act(number, body, request):
        if number == 1:
            return web.json_response({"error": "loading"}, status=503, headers={"Retry-After": "60"})
        await gate.wait()
        return answer()

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider}, cold_start="90s", concurrency=1)
        job_id = await bench.submit(fleet, questions=1, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(60):
                while runner.router.snapshot()[0].start_expected_at is None:
                    await asyncio.sleep(0.01)
            rows = await bench.database.read(executions.page, job_id)
            pending = next(row for row in rows if row["status"] == "pending")
            waiting = await explain(bench.database, pending["id"], CLOCK.wall(), runner.router.snapshot())
            runner.stop()
            await driving
    assert waiting.waits_for.stage == Stage.COLD_START
    assert waiting.waits_for.what.startswith("the start of us-a")
    assert 60 < waiting.waits_for.until - waiting.asked_at <= 90


async def test_a_job_that_nobody_runs_says_so(bench):
    async def act(number, body, request):
        return answer()

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            runner.stop()
            await runner.drive(job_id)
    rows = await bench.database.read(executions.page, job_id)
    explanation = await explain(bench.database, rows[0]["id"], CLOCK.wall())
    assert "a process that runs the job: none does" in explanation.waits_for.what
    assert f"beacon run --resume {job_id}" in explanation.waits_for.what
    assert explanation.waits_for.until is None
