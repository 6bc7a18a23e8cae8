"""A server of its own that is stopped and started while workers drive jobs: the work goes on where it was."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from beacon.domain.states import JobStatus
from beacon.store.database import open_database
from tests.integration.conftest import on_server, start_postgres, template_of
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.integration.workers.conftest import Hall, until


@pytest.fixture
def server() -> Any:
    with tempfile.TemporaryDirectory(prefix="beacon-postgres-", ignore_cleanup_errors=True) as folder:
        started = start_postgres(Path(folder))
        try:
            with template_of(started.get_uri()):
                yield started
        finally:
            started.cleanup()


@asynccontextmanager
async def hall_on(server: Any) -> AsyncIterator[Hall]:
    database = await open_database(on_server(server.get_uri(), "template_beacon"))
    try:
        yield Hall(database)
    finally:
        await database.close()


@asynccontextmanager
async def stopped(server: Any) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


@pytest.mark.parametrize("away_s", [4.0, pytest.param(120.0, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
async def test_a_server_that_is_away_costs_no_answer_and_no_second_question(server, away_s):
    told = asyncio.Event()

    async def act(number, _body, _request):
        if number <= 8:
            await told.wait()
        return answer(f"Answer {number}.")

    provider = Scripted(act)
    async with serving(provider), hall_on(server) as hall:
        fleet = fleet_of({"us": provider, "eu": provider})
        job_id = await hall.submit(fleet, questions=10, repeats=2)
        async with hall.worker(fleet) as worker:
            await until(lambda: _is(provider.in_flight == 8))
            async with stopped(server):
                told.set()
                await until(lambda: _is(worker._runner.presence.away))
                await asyncio.sleep(away_s)
                assert len(provider.bodies) == 8, "something was sent while nothing could be written ahead"
                assert "8 outcomes wait for it" in str(worker._runner.presence.error())
            job = await hall.until_over(job_id, 120)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, job.total)
    assert len(provider.keys) == job.total, "something was asked anew"
    assert set(provider.keys.values()) == {1}, "a key was sent twice"
    assert hall.fenced == []


async def _is(met: bool) -> bool:
    return met
