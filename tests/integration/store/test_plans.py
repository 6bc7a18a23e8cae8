"""How SQLite finds what a runner asks for again and again: by an index of the shard, never through the whole job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from beacon.store import executions
from beacon.store.database import SqliteDatabase, open_database


@contextmanager
def statements(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    sent: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many) -> None:
        sent.append((statement, parameters))

    event.listen(connection.engine, "before_cursor_execute", note)
    yield sent
    event.remove(connection.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("query", [executions.open_in_shard, executions.references_in_shard])
async def test_a_shard_is_found_without_a_look_at_the_others(empty_database, query):
    def plans(connection: Connection) -> list[str]:
        with statements(connection) as sent:
            query(connection, "a job", 0)
        explained = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given) for text, given in sent]
        return [row.detail for rows in explained for row in rows]

    database = await open_database(f"sqlite:///{empty_database}")
    assert isinstance(database, SqliteDatabase)
    told = await database.read(plans)
    await database.close()
    assert any("(job_id=? AND shard=?)" in line for line in told)
    assert not any("SCAN" in line or "(job_id=?)" in line or "TEMP B-TREE" in line for line in told)
