"""Workers over PostgreSQL: jobs come to their end, whoever dies, and whatever task is lost."""

from __future__ import annotations

import asyncio

from beacon.domain.states import JobStatus
from beacon.store import workers as worker_rows
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.integration.workers.conftest import CLOCK


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
