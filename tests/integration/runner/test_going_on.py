"""Nothing stands still or is lost because of what came before or beside: a resume, a retry, a lock."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from aiohttp import web

from beacon.domain.fleet import Fleet
from beacon.errors import DatabaseError
from beacon.store import database as database_module
from beacon.store import executions, interventions
from beacon.store.database import open_database
from beacon.store.executions import Filter
from tests.integration.runner.conftest import Bench
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
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(20):
                while fast.keys.total() < 590:
                    await asyncio.sleep(0.02)
            runner.stop()
            await driving


async def test_answers_that_come_while_another_process_holds_the_database_are_recorded_and_not_asked_for_again(
    bench, monkeypatch
):
    if not bench.database.url.startswith("sqlite"):
        pytest.skip("a server holds no lock on all of its rows")
    # The driver's wait was set when the database was opened; this is for whoever connects from now on.
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.1)
    opened = await open_database(bench.database.url)
    come = asyncio.Event()

    async def act(_number, _body, _request) -> web.StreamResponse:
        await come.wait()
        return answer()

    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet, questions=4, repeats=2)
        async with Bench(opened).runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while us.in_flight < 4:
                await asyncio.sleep(0.01)
            tries = counting_writes(opened, monkeypatch)
            with closing(sqlite3.connect(opened.path, isolation_level=None, timeout=5)) as other:
                other.execute("BEGIN IMMEDIATE")
                come.set()
                async with asyncio.timeout(60):
                    while tries.total() < 2:
                        await asyncio.sleep(0.01)
                other.execute("ROLLBACK")
            await driving
        await opened.close()
    assert (await bench.job(job_id)).counts["completed"] == 8
    assert len(us.bodies) == 8


def counting_writes(database, monkeypatch) -> Counter[str]:
    """How many writes were refused from now on."""
    refused: Counter[str] = Counter()

    def counting(real):
        async def write(*args, **kwargs):
            try:
                return await real(*args, **kwargs)
            except DatabaseError:
                refused["writes"] += 1
                raise

        return write

    for name in ("write", "write_at_once"):
        monkeypatch.setattr(database, name, counting(getattr(database, name)))
    return refused


async def test_a_provider_that_states_nonsense_of_its_usage_does_not_stop_the_job(bench):
    async def act(_number, _body, _request) -> web.StreamResponse:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 5_000_000_000, "completion_tokens": 2}
        return web.json_response({"model": "alpha", "choices": [choice], "usage": usage})

    us = Scripted(act)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), questions=1, repeats=1)
    assert job.counts["completed"] == 1
    (row,) = await bench.database.read(executions.page, job.id)
    assert (row["input_tokens"], row["output_tokens"]) == (None, 2)
