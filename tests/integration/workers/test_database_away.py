"""The database goes away while workers drive jobs: the work goes on where it was."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beacon.domain.states import JobStatus
from beacon.runner.engine import HEARTBEAT_S, POLL_S
from beacon.store.database import open_database
from tests.integration.conftest import on_server, start_postgres, template_of
from tests.integration.gate import gate_before
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.integration.workers.conftest import Hall, until

Switch = Callable[[], Awaitable[None]]


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
async def hall_at(url: str) -> AsyncIterator[Hall]:
    database = await open_database(url)
    try:
        yield Hall(database)
    finally:
        await database.close()


async def assert_it_goes_on_after(hall: Hall, close: Switch, open_again: Switch, away_s: float) -> None:
    """Eight answers come while the database is away; each is recorded, and none is asked for again."""
    told = asyncio.Event()

    async def act(number, _body, _request):
        if number <= 8:
            await told.wait()
        return answer(f"Answer {number}.")

    provider = Scripted(act)
    async with serving(provider):
        fleet = fleet_of({"us": provider, "eu": provider})
        job_id = await hall.submit(fleet, questions=10, repeats=2)
        async with hall.worker(fleet) as worker:
            await until(lambda: _is(provider.in_flight == 8))
            await close()
            told.set()
            presence = worker._runner.presence
            await until(lambda: _is("8 outcomes wait for it" in str(presence.error())))
            await asyncio.sleep(away_s)
            assert len(provider.bodies) == 8, "something was sent while nothing could be written ahead"
            await open_again()
            job = await hall.until_over(job_id, 120)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, job.total)
    assert len(provider.keys) == job.total, "something was asked anew"
    assert set(provider.keys.values()) == {1}, "a key was sent twice"
    assert hall.fenced == []


async def test_a_worker_goes_on_where_it_was_and_so_does_its_engine(postgres_url):
    """Away for longer than the engine goes on without it."""
    async with gate_before(postgres_url) as gate, hall_at(gate.url) as hall:
        await assert_it_goes_on_after(hall, gate.close, gate.open, HEARTBEAT_S + POLL_S)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_two_minutes_without_a_server_cost_no_answer_and_no_second_question(server):
    async with hall_at(on_server(server.get_uri(), "template_beacon")) as hall:
        stop, start = partial(asyncio.to_thread, server.stop), partial(asyncio.to_thread, server.start)
        await assert_it_goes_on_after(hall, stop, start, 120.0)


async def _is(met: bool) -> bool:
    return met
