from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beacon.domain.clock import SystemClock
from beacon.domain.fleet import Fleet
from beacon.router.router import Router
from beacon.runner.admission import submit
from beacon.runner.analyst import Analyst
from beacon.runner.runner import Runner
from beacon.runner.worker import Worker
from beacon.store import jobs
from beacon.store.database import Database, open_database
from beacon.store.jobs import Job
from tests.integration.runner.conftest import spec_of

CLOCK = SystemClock()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    database = await open_database(postgres_url)
    yield database
    await database.close()


@dataclass
class Hall:
    """Workers of one database, in this process; each has a database, a router and a runner of its own."""

    database: Database
    fenced: list[Worker] = field(default_factory=list)

    async def submit(self, fleet: Fleet, **fields) -> str:
        job_id, _ = await submit(self.database, spec_of(fleet, **fields), fleet, CLOCK)
        return job_id

    async def job(self, job_id: str) -> Job:
        return await self.database.read(jobs.get, job_id)

    @asynccontextmanager
    async def worker(self, fleet: Fleet, *regions: str, lease_s: float = 12.0) -> AsyncIterator[Worker]:
        database = await open_database(self.database.url)
        async with (
            Router(fleet, base=Path.cwd(), environ={}, clock=CLOCK) as router,
            Analyst() as analyst,
            Runner(database, router, CLOCK, analyst=analyst, rng=random.Random(1), lease_s=lease_s) as runner,
        ):
            worker = Worker(runner, regions, fenced=lambda: self.fenced.append(worker))
            running = asyncio.create_task(worker.run())
            try:
                yield worker
            finally:
                worker.stop()
                with suppress(asyncio.CancelledError):
                    await running
        await database.close()

    async def until_over(self, job_id: str, seconds: float = 60) -> Job:
        async def over() -> bool:
            return (await self.job(job_id)).over

        await until(over, seconds)
        return await self.job(job_id)


@pytest.fixture
def hall(database: Database) -> Hall:
    return Hall(database)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)
