"""A SQLite history in PostgreSQL: all of it, equal row by row, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from beacon.cli.migrate import migrate
from beacon.errors import ConflictError, DatabaseError
from beacon.store import transfer
from beacon.store.database import open_database, sqlite_engine
from beacon.store.group import record_group
from beacon.store.transfer import copied_tables, copy_all
from tests.integration.store.test_group import finish, open_works, start, submitted_job


@pytest.fixture
async def old(tmp_path: Path, spec) -> Path:
    """A job with answers (one holds a NUL), and one that is still open."""
    path = tmp_path / "old.db"
    database = await open_database(f"sqlite:///{path}")
    job_id, taken = await submitted_job(database, spec)
    works = await open_works(database, job_id, taken)
    starts = [start(*work) for work in works]
    await database.write(record_group, job_id, starts, [], 5.0)
    await database.write(record_group, job_id, [], [finish(*work) for work in works[:-1]], 6.0)

    def spoil(connection: sa.Connection) -> None:
        connection.execute(sa.text("UPDATE results SET answer = 'a' || char(0) || 'b' WHERE rowid = 1"))
        connection.execute(sa.text("UPDATE shards SET owner = NULL"))

    await database.write(spoil)
    await database.close()
    return path


async def copied(old: Path, url: str):
    target = await open_database(url)
    engine = sqlite_engine(old, begin="BEGIN")

    def copy(connection: sa.Connection):
        with engine.begin() as source:
            return copy_all(connection, source)

    try:
        return await target.write(copy)
    finally:
        engine.dispose()
        await target.close()


async def counts(url: str) -> dict[str, int]:
    database = await open_database(url)

    def read(connection: sa.Connection) -> dict[str, int]:
        return {t.name: connection.scalar(sa.select(sa.func.count()).select_from(t)) for t in copied_tables()}

    found = await database.read(read)
    await database.close()
    return found


async def test_every_row_arrives(old, postgres_url):
    told = await copied(old, postgres_url)
    there = await counts(postgres_url)
    assert there == await counts(f"sqlite:///{old}") == {table.table: table.rows for table in told}
    assert there["results"] == 15


async def test_a_target_that_holds_something_is_refused_and_left_as_it_is(old, postgres_url):
    await copied(old, postgres_url)
    before = await counts(postgres_url)
    with pytest.raises(ConflictError, match="already has rows in jobs"):
        await copied(old, postgres_url)
    assert await counts(postgres_url) == before


async def test_what_breaks_off_in_the_middle_leaves_nothing(old, postgres_url, monkeypatch):
    digest = transfer._digest

    def spoiled(connection, table):
        return ("", 0) if table.name == "events" else digest(connection, table)

    monkeypatch.setattr(transfer, "_digest", spoiled)
    with pytest.raises(DatabaseError, match="table events arrived"):
        await copied(old, postgres_url)
    assert set((await counts(postgres_url)).values()) == {0}


def test_the_command_says_what_moved(old, postgres_url, capsys):
    assert migrate(to=postgres_url, database=str(old)) == 0
    said = capsys.readouterr()
    assert "executions" in said.out
    assert "rows moved and compared" in said.err
