"""The database file: migrations, and what a person is told when it cannot be used."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from beacon.errors import DatabaseError, DatabaseTooNewError, ExitCode, InputError
from beacon.store import database as database_module
from beacon.store import jobs
from beacon.store.database import open_database
from beacon.store.migrate import REVISIONS
from beacon.store.migrations.run import configuration, is_beacons_own
from beacon.store.tables import metadata


def differences(connection: sa.Connection) -> list:
    options = {"compare_type": True, "compare_server_default": True, "include_name": is_beacons_own}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def table_sql(connection: sa.Connection) -> dict[str, list[str]]:
    """Each table's columns and constraints, whatever their order."""
    rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    return {
        name: sorted(" ".join(part.split()) for part in sql.strip(") ").split(","))
        for name, sql in rows
        if name != "alembic_version"
    }


async def test_the_migrations_add_up_to_the_declared_tables(database, tmp_path):
    assert await database.read(differences) == []
    if not database.url.startswith("sqlite"):
        return
    declared = sa.create_engine(f"sqlite:///{tmp_path}/declared.db")
    metadata.create_all(declared)
    with declared.connect() as connection:
        expected = table_sql(connection)
    declared.dispose()
    assert await database.read(table_sql) == expected


def test_the_newest_revision_is_the_one_this_beacon_asks_for():
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(configuration())
    assert scripts.get_current_head() == REVISIONS[-1]
    assert {script.revision for script in scripts.walk_revisions()} == set(REVISIONS)


async def test_a_database_of_a_newer_beacon_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "beacon.db"
    await (await open_database(f"sqlite:///{path}")).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseTooNewError, match="9999") as refused:
        await open_database(f"sqlite:///{path}")
    assert refused.value.exit_code is ExitCode.BAD_INPUT
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_a_locked_database_is_named_with_what_to_do(database, tmp_path, monkeypatch, spec):
    monkeypatch.setattr(database_module, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "locked.db"
    locked = await open_database(f"sqlite:///{path}")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="locked by another process") as refused:
        await locked.write(jobs.create, "id", spec, ("{}", "{}", ""), 1.0)
    assert refused.value.exit_code is ExitCode.UNAVAILABLE
    holder.close()
    await locked.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one\n" * 30)
    with pytest.raises(DatabaseError, match="not a usable Beacon database"):
        await open_database(f"sqlite:///{path}")
    assert path.read_text().startswith("not a database")


async def test_an_unknown_kind_of_database_is_bad_input():
    with pytest.raises(InputError, match="mysql"):
        await open_database("mysql://localhost/beacon")


async def test_a_write_that_fails_leaves_nothing(database, spec):
    def half(connection: sa.Connection) -> None:
        jobs.create(connection, "one", spec, ("{}", "{}", ""), 1.0)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await database.write(half)
    assert await database.read(jobs.list_page, limit=5) == []


async def test_what_no_text_can_hold_is_bad_input_and_no_fault_of_the_database(database):
    with pytest.raises(InputError):
        await database.read(jobs.get, "k3\0v9")
    with pytest.raises(InputError):
        await database.read(jobs.resolve_id, "k3\0v9")
