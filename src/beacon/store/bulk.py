"""Many rows as one statement.

SQLite's driver takes Python's global lock anew for every row of an `executemany`; beside a busy event loop each of
those can wait for milliseconds. Here the rows travel as one JSON text, and SQLite reads them inside a single step
that holds no lock (https://sqlite.org/json1.html#jeach).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

Row = Sequence[Any]


class Insert:
    """Inserts rows of `columns` into a table."""

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        names = ", ".join(columns)
        marks = ", ".join("?" for _ in columns)
        self._at_once = f"INSERT INTO {table.name} ({names}) SELECT {_extracted(columns)} FROM json_each(?)"
        self._one_by_one = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        _execute(connection, self._at_once, self._one_by_one, rows)


class Update:
    """Sets `columns` of the rows with the given `key`, and adds to `added`. A row is key, columns, added in order."""

    def __init__(self, table: Table, key: str, columns: Sequence[str], added: Sequence[str] = ()) -> None:
        names = (key, *columns, *added)
        given = [f"{name} = given.{name}" for name in columns]
        given += [f"{name} = {table.name}.{name} + given.{name}" for name in added]
        source = f"(SELECT {_extracted(names)} FROM json_each(?)) AS given"
        self._at_once = (
            f"UPDATE {table.name} SET {', '.join(given)} FROM {source} WHERE {table.name}.{key} = given.{key}"
        )
        numbered = [f"{name} = ?{place}" for place, name in enumerate(columns, start=2)]
        numbered += [f"{name} = {name} + ?{place}" for place, name in enumerate(added, start=2 + len(columns))]
        self._one_by_one = f"UPDATE {table.name} SET {', '.join(numbered)} WHERE {key} = ?1"

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        _execute(connection, self._at_once, self._one_by_one, rows)


def _extracted(names: Sequence[str]) -> str:
    return ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(names))


def _execute(connection: Connection, at_once: str, one_by_one: str, rows: Sequence[Row]) -> None:
    if not rows:
        return
    text = json.dumps(rows)
    if "\\u0000" in text:
        # SQLite's JSON ends a text at its first NUL; bound as it is, the text stays whole.
        connection.exec_driver_sql(one_by_one, [tuple(row) for row in rows])
    else:
        connection.exec_driver_sql(at_once, (text,))
