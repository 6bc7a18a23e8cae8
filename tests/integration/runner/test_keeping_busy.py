"""Every region and every model is kept busy, whatever came before: a resume, an operator's retry."""

from __future__ import annotations

import asyncio

from aiohttp import web

from beacon.domain.fleet import Fleet
from beacon.store import executions, interventions
from beacon.store.executions import Filter
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def test_what_is_retried_while_the_job_runs_does_not_wait_for_a_slow_region(bench):
    release, broken = asyncio.Event(), True

    async def fails(_number, _body, _request) -> web.StreamResponse:
        if broken:
            return web.json_response({"error": {"message": "not now"}}, status=400)
        return answer()

    async def slow(_number, _body, _request) -> web.StreamResponse:
        await release.wait()
        return answer()

    us, eu = Scripted(fails), Scripted(slow)
    async with serving(us, eu):
        fleet = fleet_of({"us": us, "eu": eu})
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(20):
                while (await bench.job(job_id)).counts["failed"] < 1 or not eu.in_flight:
                    await asyncio.sleep(0.02)
                broken = False
                await bench.database.write(interventions.reopen, job_id, Filter(), 0.0)
                while (await bench.job(job_id)).counts["completed"] < 1:
                    await asyncio.sleep(0.02)
            release.set()
            await driving
    rows = await bench.database.read(executions.page, job_id)
    assert [row["status"] for row in rows] == ["completed", "completed"]


async def test_after_a_resume_a_fast_model_does_not_wait_for_the_shards_that_a_slow_one_left_behind(bench):
    held = True
    release = asyncio.Event()

    async def act(_number, body, _request) -> web.StreamResponse:
        if body["model"] == "slow":
            await release.wait()
        return answer(model=body["model"])

    slow, fast = Scripted(act), Scripted(act)
    async with serving(slow, fast):
        rows = [
            {"name": name, "region": "us", "transport": "openai", "url": scripted.url, "models": [name],
             "stream": False, "concurrency": 4}
            for name, scripted in (("slow", slow), ("fast", fast))
        ]  # fmt: skip
        fleet = Fleet.model_validate({"providers": rows})
        # Three shards of a region: 1,200 executions, half of them of each model.
        job_id = await bench.submit(fleet, questions=60, repeats=10)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(40):
                while fast.keys.total() < 300:
                    await asyncio.sleep(0.02)
            runner.stop()
            await driving
        sent = fast.keys.total()
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(20):
                while fast.keys.total() < 590:
                    await asyncio.sleep(0.02)
            runner.stop()
            await driving
