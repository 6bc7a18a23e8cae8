"""Many rows as few statements.

SQLite's driver takes Python's global lock anew for every row of an `executemany`, and for every row that is fetched;
beside a busy event loop each of those can wait for milliseconds. Here rows travel as the values of one statement.
Its length is a power of two, filled up with rows that do nothing, so that statements are prepared already.

PostgreSQL's driver reads every statement for its parameters, which takes longer than the rows do; there they travel as
one JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select, Table, func, select

Row = Sequence[Any]

LARGEST = 512
"""Rows in one statement; with up to 20 columns below SQLite's 32,766 parameters."""


def read_rows(connection: Connection, query: Select[Any]) -> list[list[Any]]:
    """The rows of a query, in no order: on SQLite as one text, for each row fetched is a lock.

    There floating-point values keep 15 significant digits.
    """
    if connection.dialect.name != "sqlite":
        return [list(row) for row in connection.execute(query)]
    columns = query.subquery().c
    text = connection.scalar(select(func.json_group_array(func.json_array(*columns))))
    rows: list[list[Any]] = json.loads(text or "[]")
    return rows


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


class _Statement:
    """A statement around a list of rows, whose first column is never null."""

    def __init__(self, table: Table, columns: Sequence[str], head: str, tail: str) -> None:
        self._columns = [(name, table.c[name].type) for name in columns]
        self._filling = (None,) * len(columns)
        self._head, self._tail = head, tail
        self._texts: dict[int, str] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(self._text_of_json(connection), (json.dumps(rows),))
            return
        for part in _parts(rows):
            filled = _power_of_two(len(part))
            filling = [self._filling] * (filled - len(part))
            connection.exec_driver_sql(self._text_of_values(filled), tuple(chain.from_iterable(chain(part, filling))))

    def _text_of_values(self, count: int) -> str:
        text = self._texts.get(count)
        if text is None:
            marks = f"({', '.join('?' * len(self._columns))})"
            values = f"SELECT * FROM (VALUES {', '.join([marks] * count)}) WHERE column1 IS NOT NULL"
            text = self._texts[count] = f"{self._head}{values}{self._tail}"
        return text

    def _text_of_json(self, connection: Connection) -> str:
        text = self._texts.get(0)
        if text is None:
            dialect = connection.dialect
            values = [f"(given ->> {n})::{type_.compile(dialect)}" for n, (_, type_) in enumerate(self._columns)]
            rows = f"SELECT {', '.join(values)} FROM jsonb_array_elements(%s::jsonb) AS given"
            text = self._texts[0] = f"{self._head}{rows}{self._tail}"
        return text


class Insert(_Statement):
    """Inserts rows of `columns`, of which the first is never null; `fixed` are SQL values that all of them share."""

    def __init__(self, table: Table, columns: Sequence[str], fixed: Mapping[str, str] | None = None) -> None:
        fixed = fixed or {}
        given = "".join(f", {text}" for text in fixed.values())
        head = f"WITH given ({', '.join(columns)}) AS ("
        names = ", ".join((*columns, *fixed))
        tail = f") INSERT INTO {table.name} ({names}) SELECT given.*{given} FROM given"
        super().__init__(table, columns, head, tail)


class Update(_Statement):
    """Sets `columns` of the rows with the given `key`, and adds to `added`. A row is key, columns, added in order.

    `fixed` are SQL expressions, the same for all rows; `only` is a condition on the table's row
    and on `given`, the new one.
    """

    def __init__(
        self,
        table: Table,
        key: str,
        columns: Sequence[str],
        added: Sequence[str] = (),
        fixed: Mapping[str, str] | None = None,
        only: str = "true",
    ) -> None:
        names = (key, *columns, *added)
        given = [f"{name} = given.{name}" for name in columns]
        given += [f"{name} = {table.name}.{name} + given.{name}" for name in added]
        given += [f"{name} = {text}" for name, text in (fixed or {}).items()]
        head = f"WITH given ({', '.join(names)}) AS ("
        where = f"{table.name}.{key} = given.{key} AND {only}"
        tail = f") UPDATE {table.name} SET {', '.join(given)} FROM given WHERE {where}"
        super().__init__(table, names, head, tail)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), LARGEST):
        yield rows[start : start + LARGEST]


def _power_of_two(count: int) -> int:
    """The least one that is not less."""
    return 1 << (count - 1).bit_length()
