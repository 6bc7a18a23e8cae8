"""Statements for many rows: compiled once a dialect, executed with plain tuples.

SQLAlchemy's own `executemany` converts each parameter of each row, which costs more than the row itself. The
group commit is the hot path of Beacon, so it hands the driver what it takes as it is: text, numbers, None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.elements import ClauseElement


class Bulk:
    """A Core statement whose parameters are named as the attributes of the rows' dicts."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Executes the statement once for each row; does nothing without rows."""
        if not rows:
            return
        sql, order = self._for(connection.dialect)
        values: list[Any] = [tuple(row[name] for name in order) for row in rows] if order else list(rows)
        connection.exec_driver_sql(sql, values)

    def _for(self, dialect: Dialect) -> tuple[str, tuple[str, ...] | None]:
        if dialect.name not in self._compiled:
            assert isinstance(self._statement, ClauseElement)
            compiled = self._statement.compile(dialect=dialect)
            order = getattr(compiled, "positiontup", None)
            self._compiled[dialect.name] = (str(compiled), tuple(order) if order else None)
        return self._compiled[dialect.name]
