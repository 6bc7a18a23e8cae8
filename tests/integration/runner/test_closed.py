"""A provider that asks for a day: what waits for it is tried once more, and then ends with that reason."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from beacon.router import closing
from beacon.runner.explain import explain
from beacon.store import executions
from tests.integration.runner.conftest import CLOCK
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


def refused() -> web.Response:
    return web.json_response({"error": "come tomorrow"}, status=429, headers={"Retry-After": "86400"})


async def test_what_waits_for_a_provider_that_is_closed_ends_and_says_so(bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closing, "LONGEST_OBEYED_S", 1.0)

    async def act(_number, _body, _request):
        return refused()

    provider = Scripted(act)
    async with serving(provider), asyncio.timeout(30):
        job = await bench.run(fleet_of({"us": provider}, concurrency=1), questions=6, repeats=2)
    rows = await bench.database.read(executions.page, job.id)
    assert job.over
    assert {row["kind"] for row in rows} == {"rate_limited"}
    waited = [row for row in rows if not row["attempts"]]
    assert waited
    assert all("us-a is closed (us-a answered 429 with Retry-After 86400.0 s" in row["error"] for row in waited)
    assert all("beacon retry JOB --kind rate_limited" in row["error"] for row in waited)


async def test_one_such_refusal_delays_what_waits_by_the_limit_alone(bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(closing, "LONGEST_OBEYED_S", 1.0)

    async def act(number, _body, _request):
        return refused() if number == 1 else answer()

    provider = Scripted(act)
    async with serving(provider), asyncio.timeout(30):
        job = await bench.run(fleet_of({"us": provider}, concurrency=1), questions=2, repeats=2)
    assert (job.counts["completed"], job.counts["failed"]) == (3, 1)


async def test_explain_says_until_when_it_waits(bench):
    async def act(_number, _body, _request):
        return refused()

    provider = Scripted(act)
    async with serving(provider), asyncio.timeout(30):
        fleet = fleet_of({"us": provider}, concurrency=1)
        job_id = await bench.submit(fleet, questions=1, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while not (await bench.job(job_id)).counts["failed"]:
                await asyncio.sleep(0.01)
            rows = await bench.database.read(executions.page, job_id)
            waiting = next(row["id"] for row in rows if row["status"] == "pending")
            now = CLOCK.wall()
            told = await explain(bench.database, waiting, now, runner.router.snapshot())
            runner.stop()
            await driving
    assert told.waits_for is not None
    assert told.waits_for.until == pytest.approx(now + closing.LONGEST_OBEYED_S, abs=30)
    assert "Retry-After 86400.0 s, and is tried again after 300 s" in told.waits_for.what
