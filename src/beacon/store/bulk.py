"""Many rows as few statements.

SQLite's driver takes Python's global lock anew for every row of an `executemany`, and for every row that is fetched;
beside a busy event loop each of those can wait for milliseconds. Here rows travel as the values of one statement.
Its length is a power of two, so that a group of any size is a few statements that are all prepared already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Table

Row = Sequence[Any]

LARGEST = 256
"""Rows in one statement; with up to 20 columns well below SQLite's 32,766 parameters."""


class Lookup:
    """Reads `columns` of the rows whose `key` is among many, on SQLite: as one text, for each row fetched is a lock."""

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
        self._statement = _Statement(table, columns, head, "")

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._statement.execute(connection, rows)


class Update:
    """Sets `columns` of the rows with the given `key`, and adds to `added`. A row is key, columns, added in order."""

    def __init__(self, table: Table, key: str, columns: Sequence[str], added: Sequence[str] = ()) -> None:
        names = (key, *columns, *added)
        given = [f"{name} = given.{name}" for name in columns]
        given += [f"{name} = {table.name}.{name} + given.{name}" for name in added]
        head = f"WITH given ({', '.join(names)}) AS (VALUES "
        tail = f") UPDATE {table.name} SET {', '.join(given)} FROM given WHERE {table.name}.{key} = given.{key}"
        self._statement = _Statement(table, names, head, tail)

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        self._statement.execute(connection, rows)


class _Statement:
    """A statement around a list of rows, once for each dialect and length."""

    def __init__(self, table: Table, columns: Sequence[str], head: str, tail: str) -> None:
        self._types = [table.c[name].type for name in columns]
        self._head, self._tail = head, tail
        self._texts: dict[tuple[str, int], str] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        for part in _parts(rows):
            text = self._text(connection.dialect, len(part))
            connection.exec_driver_sql(text, tuple(chain.from_iterable(part)))

    def _text(self, dialect: Dialect, count: int) -> str:
        known = self._texts.get((dialect.name, count))
        if known is None:
            known = self._head + ", ".join([self._row(dialect)] * count) + self._tail
            self._texts[dialect.name, count] = known
        return known

    def _row(self, dialect: Dialect) -> str:
        if dialect.name == "postgresql":
            # Its parameters have types, which are not guessed for a list of rows.
            marks = [f"%s::{type_.compile(dialect)}" for type_ in self._types]
        else:
            marks = ["?"] * len(self._types)
        return f"({', '.join(marks)})"


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """All rows in their order, in parts whose sizes are powers of two."""
    start, size = 0, LARGEST
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
