from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from beacon.domain.clock import Clock, SystemClock
from beacon.domain.fleet import Fleet
from beacon.domain.spec import JobSpec
from beacon.router.router import Router
from beacon.runner.admission import submit
from beacon.runner.analyst import Analyst
from beacon.runner.runner import Runner
from beacon.runner.spool import Spool
from beacon.store import jobs
from beacon.store.database import Database
from beacon.store.jobs import Job

CLOCK = SystemClock()


@dataclass
class Bench:
    """A database with runners over a fleet that a test names."""

    database: Database

    async def submit(self, fleet: Fleet, **fields) -> str:
        job_id, _ = await submit(self.database, spec_of(fleet, **fields), fleet, CLOCK)
        return job_id

    @asynccontextmanager
    async def runner(self, fleet: Fleet, clock: Clock = CLOCK, spool: Spool | None = None) -> AsyncIterator[Runner]:
        async with (
            Router(fleet, base=Path.cwd(), environ={}, clock=CLOCK) as router,
            Analyst() as analyst,
            Runner(self.database, router, clock, analyst=analyst, rng=random.Random(1), spool=spool) as runner,
        ):
            yield runner

    async def run(self, fleet: Fleet, **fields) -> Job:
        job_id = await self.submit(fleet, **fields)
        async with self.runner(fleet) as runner:
            await runner.drive(job_id)
        return await self.job(job_id)

    async def job(self, job_id: str) -> Job:
        return await self.database.read(jobs.get, job_id)


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)


def spec_of(fleet: Fleet, questions: int = 2, repeats: int = 2, **fields) -> JobSpec:
    return JobSpec.model_validate(
        {
            "schema": "beacon.job/v1",
            "name": "A job",
            "questions": [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(questions)],
            "models": list(fleet.models),
            "regions": list(fleet.regions),
            "repeats": repeats,
            "seed": 7,
            **fields,
        }
    )
