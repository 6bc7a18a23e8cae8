"""Workers over PostgreSQL: jobs come to their end, whoever dies, and whatever task is lost."""

from __future__ import annotations

import asyncio
import json

import httpx

from beacon.cli.house_checks import check_house
from beacon.cli.main import build_app
from beacon.domain.states import JobStatus
from beacon.runner.explain import explain
from beacon.store import executions
from beacon.store import workers as worker_rows
from beacon.web.app import create_app
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import StoreActions
from tests.integration.workers.conftest import CLOCK, until


async def prompt(_number, _body, _request):
    return answer()


async def test_a_job_that_was_only_submitted_is_brought_to_its_end_by_a_worker(hall):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider, "eu": provider})
        job_id = await hall.submit(fleet, questions=4, repeats=3)
        async with hall.worker(fleet):
            job = await hall.until_over(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.counts["completed"] == job.total == len(provider.keys)
    assert set(provider.keys.values()) == {1}


async def test_two_workers_share_a_job_and_nothing_is_sent_twice(hall):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider, "eu": provider})
        async with hall.worker(fleet), hall.worker(fleet):
            ids = [await hall.submit(fleet, questions=4, repeats=3) for _ in range(4)]
            found = [await hall.until_over(job_id) for job_id in ids]
    assert {job.status for job in found} == {JobStatus.COMPLETED}
    assert len(provider.keys) == sum(job.total for job in found)
    assert set(provider.keys.values()) == {1}


async def test_doctor_and_serve_see_who_lives(hall):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider, "eu": provider})
        async with hall.worker(fleet):
            async with asyncio.timeout(10):
                while not (known := await hall.database.read(worker_rows.listed, CLOCK.wall())):
                    await asyncio.sleep(0.05)
            assert [worker.alive for worker in known] == [True]
            assert known[0].regions == set(fleet.regions)
        assert await hall.database.read(worker_rows.listed, CLOCK.wall()) == []


async def test_a_region_that_no_living_worker_serves_is_told_wherever_a_job_is_looked_at(hall, capsys):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider, "eu": provider})
        job_id = await hall.submit(fleet)
        assert await hall.database.read(worker_rows.unserved, CLOCK.wall()) == []
        async with hall.worker(fleet, "us"):

            async def us_is_done() -> bool:
                return (await hall.job(job_id)).done == 4

            await until(us_is_done)
            lacking = await hall.database.read(worker_rows.unserved, CLOCK.wall(), (), job_id)
            assert [(one.region, one.executions) for one in lacking] == [("eu", 4)]
            rows = await hall.database.read(executions.page, job_id)
            waiting = next(row["id"] for row in rows if row["region"] == "eu")
            told = await explain(hall.database, waiting, CLOCK.wall())
            assert told.waits_for is not None
            assert "no living worker serves eu" in told.waits_for.what
            checks = await check_house(hall.database.url)
            assert any("no living worker serves eu" in check.sentence for check in checks)
            app = create_app(hall.database, actions=StoreActions(hall.database), fleet=lambda: fleet)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
                ready = (await client.get("/readyz")).json()
            assert [(one["region"], one["jobs"], one["executions"]) for one in ready["waits"]] == [("eu", 1, 4)]
            given = ["--database", hall.database.url]
            shown = await asyncio.to_thread(command, ["show", job_id, "--json", *given], capsys)
            # The workers of this process log to the same place.
            document = json.loads(shown.out.splitlines()[-1])
            assert [one["region"] for one in document["waits_for_workers"]] == ["eu"]
            assert "no living worker serves eu" in (await asyncio.to_thread(command, ["jobs", *given], capsys)).err
        async with hall.worker(fleet, "eu"):
            assert (await hall.until_over(job_id)).status is JobStatus.COMPLETED


def command(arguments, capsys):
    build_app(overview=False)(arguments, exit_on_error=False)
    return capsys.readouterr()


async def test_a_region_that_a_fleet_gains_is_served_by_workers_that_run(hall):
    provider = Scripted(prompt)
    async with serving(provider):
        before, after = fleet_of({"us": provider}), fleet_of({"us": provider, "eu": provider})
        async with hall.worker(before) as worker:
            job_id = await hall.submit(after)

            async def us_is_done() -> bool:
                return (await hall.job(job_id)).done == 4

            await until(us_is_done)
            await worker._runner.router.reload(after)
            job = await hall.until_over(job_id)
            assert worker.regions == {"us", "eu"}
            known = await hall.database.read(worker_rows.listed, CLOCK.wall())
    assert job.status is JobStatus.COMPLETED
    assert known[0].regions == {"us", "eu"}
