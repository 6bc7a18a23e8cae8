"""Many rows as few statements.

SQLite's driver takes Python's global lock anew for every row of an `executemany`, and for every row that is fetched;
beside a busy event loop each of those can wait for milliseconds. Here rows travel as the values of one statement.
Its length is a power of two, so that a group of any size is a few statements that are all prepared already.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table

Row = Sequence[Any]

LARGEST = 256
"""Rows in one statement; with up to 20 columns well below SQLite's 32,766 parameters."""


class Lookup:
    """Reads `columns` of the rows whose `key` is among many, as one JSON text: a row fetched is a lock taken."""

    def __init__(self, table: Table, key: str, columns: Sequence[str]) -> None:
        names = ", ".join(f"{table.name}.{name}" for name in columns)
        self._statement = (
            f"SELECT json_group_array(json_array({names})) FROM json_each(?) AS given "
            f"CROSS JOIN {table.name} ON {table.name}.{key} = given.value"
        )

    def execute(self, connection: Connection, keys: Sequence[str]) -> list[list[Any]]:
        """In no order; a key that no row has is left out."""
        found = connection.exec_driver_sql(self._statement, (json.dumps(keys),)).scalar_one()
        rows: list[list[Any]] = json.loads(found)
        return rows


class Insert:
    """Inserts rows of `columns` into a table."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        head = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "
        self._statement = cache(lambda count: head + _values(count, len(columns)))

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        _execute(connection, self._statement, rows)


class Update:
    """Sets `columns` of the rows with the given `key`, and adds to `added`. A row is key, columns, added in order."""

    def __init__(self, table: Table, key: str, columns: Sequence[str], added: Sequence[str] = ()) -> None:
        names = (key, *columns, *added)
        given = [f"{name} = given.{name}" for name in columns]
        given += [f"{name} = {table.name}.{name} + given.{name}" for name in added]
        head = f"WITH given ({', '.join(names)}) AS (VALUES "
        tail = f") UPDATE {table.name} SET {', '.join(given)} FROM given WHERE {table.name}.{key} = given.{key}"
        self._statement = cache(lambda count: head + _values(count, len(names)) + tail)

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        _execute(connection, self._statement, rows)


def _values(count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return ", ".join([row] * count)


def _execute(connection: Connection, statement: Callable[[int], str], rows: Sequence[Row]) -> None:
    for part in _parts(rows):
        connection.exec_driver_sql(statement(len(part)), tuple(chain.from_iterable(part)))


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """All rows in their order, in parts whose sizes are powers of two."""
    start, size = 0, LARGEST
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
