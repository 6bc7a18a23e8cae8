from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from beacon.domain.spec import JobSpec
from beacon.store.database import Database, open_database


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An up-to-date database without jobs, to be copied: migrating anew for each test takes a second."""
    path = tmp_path_factory.mktemp("template") / "empty.db"

    async def make() -> None:
        await (await open_database(f"sqlite:///{path}")).close()

    asyncio.run(make())
    return path


@pytest.fixture
async def database(tmp_path: Path, empty_database: Path):
    shutil.copy(empty_database, tmp_path / "beacon.db")
    database: Database = await open_database(f"sqlite:///{tmp_path}/beacon.db")
    yield database
    await database.close()


@pytest.fixture
def spec() -> JobSpec:
    """2 questions x 2 models x 2 regions x 2 repeats: 16 executions, one shard a region."""
    return make_spec()


def make_spec(questions: int = 2, repeats: int = 2, **fields) -> JobSpec:
    return JobSpec.model_validate(
        {
            "schema": "beacon.job/v1",
            "name": "A job",
            "questions": [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(questions)],
            "models": ["alpha", "beta"],
            "regions": ["us", "eu"],
            "repeats": repeats,
            "seed": 7,
            **fields,
        }
    )
