"""A whole job database copied into an empty one, in one transaction: all of it or nothing.

Rows are streamed in the order of their keys, and counted and digested on both sides before the commit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from beacon.errors import ConflictError, DatabaseError
from beacon.store.tables import metadata

BATCH = 500
_PLACES = {"owner": None, "lease_until": None, "finalizer": None, "finalizer_until": None}
_LEFT_BEHIND = {"workers"}


@dataclass(frozen=True, slots=True)
class Copied:
    """One table: how many rows, and the SHA-256 of all of them in the order of their keys, as JSON lines."""

    table: str
    rows: int
    sha256: str


def copied_tables() -> list[Table]:
    """Those that hold history, each after those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in _LEFT_BEHIND]


def copy_all(
    target: Connection, source: Connection, told: Callable[[str, int], None] = lambda *_: None
) -> list[Copied]:
    """Copies every table; leases are given up on the way, since who held them drives the old database.

    `told` hears of tables and rows as they are copied. Raises ConflictError for a target that holds anything,
    DatabaseError where what arrived differs from what was sent; the transaction is to be rolled back then.
    """
    _refuse_filled(target)
    return [_copy(target, source, table, told) for table in copied_tables()]


def _refuse_filled(target: Connection) -> None:
    for table in copied_tables():
        if target.scalar(select(func.count()).select_from(select(table).limit(1).subquery())):
            todo = "name an empty database: a history is never mixed into another"
            raise ConflictError(f"the target already has rows in {table.name}", where="--to", todo=todo)


def _copy(target: Connection, source: Connection, table: Table, told: Callable[[str, int], None]) -> Copied:
    sent = hashlib.sha256()
    count = 0
    for batch in _batches(source, table):
        for row in batch:
            sent.update(_line(row))
        target.execute(insert(table), batch)
        count += len(batch)
        told(table.name, count)
    arrived, found = _digest(target, table)
    if (found, arrived) != (count, sent.hexdigest()):
        what = f"table {table.name} arrived with {found:,} of {count:,} rows, or with other contents"
        raise DatabaseError(what, where="--to", todo="nothing was kept; report this, and go on with the old database")
    return Copied(table.name, count, arrived)


def _digest(connection: Connection, table: Table) -> tuple[str, int]:
    digest = hashlib.sha256()
    count = 0
    for batch in _batches(connection, table):
        for row in batch:
            digest.update(_line(row))
        count += len(batch)
    return digest.hexdigest(), count


def _batches(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    """All rows in the order of the key, bytewise on both databases, `BATCH` at a time."""
    order = [_bytewise(connection, column) for column in table.primary_key.columns]
    streamed = connection.execute(select(table).order_by(*order), execution_options={"yield_per": BATCH})
    for part in streamed.mappings().partitions(BATCH):
        yield [_portable(row) for row in part]


def _bytewise(connection: Connection, column: Any) -> Any:
    is_text = connection.dialect.name == "postgresql" and column.type.python_type is str
    return column.collate("C") if is_text else column


def _portable(row: Any) -> dict[str, Any]:
    """A row without its leases, and without NUL, which PostgreSQL's text cannot hold."""
    values = {name: _without_nul(value) for name, value in row.items()}
    return values | {name: None for name in _PLACES if name in values}


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def total(copied: Sequence[Copied]) -> int:
    return sum(table.rows for table in copied)
