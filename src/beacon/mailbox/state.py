"""The state file: accepted work and its outcomes, in SQLite, on disk before anyone is told of them.

One thread owns the connection. What is to be written while one group is being synced to the disk gathers into the
next one: a sync takes as long for a hundred rows as for one. The file is locked for as long as it is open, so that a
second process cannot take this one's running work for lost.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from beacon.domain.mailbox import MailboxError, MailboxState
from beacon.errors import InputError

Result = TypeVar("Result")
_Act = Callable[[], Any]

BUSY_S = 1.0
"""How long another process may hold the state file; then agent or gateway do not start, and say so."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS inferences (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,          -- of region, model and request: what must not change under one key
    region TEXT NOT NULL,
    model TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    attempt TEXT,                  -- X-Beacon-Attempt, as it came
    request_json TEXT,             -- until the outcome is there
    state TEXT NOT NULL,
    accepted_at REAL NOT NULL,     -- moments are seconds since the epoch
    deadline_at REAL NOT NULL,
    finished_at REAL,
    response_json TEXT,
    response_sha256 TEXT,
    simulated INTEGER NOT NULL DEFAULT 0,
    error_json TEXT,
    stages_json TEXT NOT NULL DEFAULT '{}',
    provider TEXT,                 -- who was asked, before it is
    reference TEXT,                -- the provider's own name for the work, where it has one
    route_json TEXT                -- what is known of the way of an answer
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inferences_by_end ON inferences (finished_at);
"""
_ADDED = ("provider", "reference", "route_json")
"""Columns that a file of an earlier version does not have."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Work as it was accepted. `request` is the chat-completions request for `upstream_model`."""

    key: str
    digest: str
    region: str
    model: str
    upstream_model: str
    attempt: str | None
    request: dict[str, Any]
    accepted_at: float
    deadline_at: float
    provider: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """Who is about to be asked for work, and for which model."""

    provider: str
    upstream_model: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How work ended. `response_json` is set exactly for `done`.

    `route` is what the entry tells of an answer's way besides: fields of `MailboxEntry`.
    """

    state: MailboxState
    stages_ms: dict[str, float]
    response_json: str | None = None
    response_sha256: str | None = None
    simulated: bool = False
    error: MailboxError | None = None
    route: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """By the columns of the state file."""
        return {
            "state": self.state.value,
            "response_json": self.response_json,
            "response_sha256": self.response_sha256,
            "simulated": self.simulated,
            "error_json": None if self.error is None else self.error.model_dump_json(exclude_none=True),
            "stages_json": json.dumps(self.stages_ms),
            "route_json": json.dumps(self.route),
        }


class StateFile:
    """Open it with `open_state`."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._waiting: list[tuple[_Act, asyncio.Future[Any]]] = []
        self._committing: asyncio.Task[None] | None = None

    async def accept(self, work: Accepted, *, begun: Begun | None = None) -> str | None:
        """Commits the work; the digest of what is there already under its key, or None where it is new.

        With `begun` it commits in the same stroke who is about to be asked.
        """
        known: str | None = await self._write(_accept, work, begun)
        return known

    async def begin(self, key: str, begun: Begun) -> None:
        """Commits who is about to be asked."""
        await self._write(_begin, key, begun)

    async def note(self, key: str, reference: str) -> None:
        """Commits the provider's own reference to work that is under way."""
        await self._write(_note, key, reference)

    async def end(self, key: str, ended: Ended, now: float) -> None:
        """Commits an outcome; the first one stays."""
        await self._write(_end, key, ended, now)

    async def read(self, key: str) -> dict[str, Any] | None:
        """The row of a key."""
        return await self._run(_read, key)

    async def left_over(self) -> list[tuple[Accepted, bool]]:
        """What an earlier process accepted and did not end, in order, and whether it had begun it."""
        return await self._run(_left_over)

    async def purge(self, before: float) -> int:
        """Forgets what ended before that moment; how many."""
        count: int = await self._write(_purge, before)
        return count

    async def close(self) -> None:
        while self._committing is not None:
            await self._committing
        await self._run(sqlite3.Connection.close)
        self._thread.shutdown()

    async def _write(self, act: Callable[..., Any], *args: object) -> Any:
        """Returns once it is on disk. Shielded: what was handed in is done, even where its giver is cancelled."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((partial(act, self._connection, *args), future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_groups())
        return await asyncio.shield(future)

    async def _commit_groups(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            results = await self._run(_commit, [act for act, _ in group])
            for (_, future), result in zip(group, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                    # Read here once, so that what nobody waits for any more is no complaint at exit.
                    future.exception()
                else:
                    future.set_result(result)
        self._committing = None

    async def _run(self, act: Callable[..., Result], *args: object) -> Result:
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._thread, act, self._connection, *args)
        )


async def open_state(path: Path) -> StateFile:
    """Raises InputError where the file cannot be used, or is another process's."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
    try:
        connection = await asyncio.get_running_loop().run_in_executor(thread, _open, path)
    except sqlite3.Error as error:
        thread.shutdown()
        locked = "locked" in str(error)
        what = "another agent or gateway uses the state file" if locked else f"the state file cannot be used: {error}"
        todo = "give each of them a file of its own" if locked else "name a file that this user can write"
        raise InputError(what, where=f"--state {path}", todo=todo) from error
    return StateFile(connection, thread)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
        there = {row["name"] for row in connection.execute("PRAGMA table_info(inferences)")}
        for column in _ADDED:
            if column not in there:
                connection.execute(f"ALTER TABLE inferences ADD COLUMN {column} TEXT")
        # The first write takes the lock, and this connection never lets go of it.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("COMMIT")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _commit(connection: sqlite3.Connection, acts: Sequence[_Act]) -> list[Any]:
    """All acts in one transaction; what each returned, or raised. One that fails does not take the others with it."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        results = [act() for act in acts]
        connection.execute("COMMIT")
    except (sqlite3.Error, ValueError, OverflowError) as error:  # the last two: what cannot be bound to a statement
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [error] if len(acts) == 1 else [result for act in acts for result in _commit(connection, [act])]
    return results


def _accept(connection: sqlite3.Connection, work: Accepted, begun: Begun | None) -> str | None:
    state = MailboxState.ACCEPTED if begun is None else MailboxState.RUNNING
    upstream_model, provider = (
        (work.upstream_model, work.provider) if begun is None else (begun.upstream_model, begun.provider)
    )
    values = (
        *(work.key, work.digest, work.region, work.model, upstream_model, work.attempt),
        *(json.dumps(work.request), state, work.accepted_at, work.deadline_at, provider),
    )
    inserted = connection.execute(
        "INSERT INTO inferences (key, digest, region, model, upstream_model, attempt, request_json, state,"
        " accepted_at, deadline_at, provider) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        values,
    )
    if inserted.rowcount == 1:
        return None
    known = connection.execute("SELECT digest FROM inferences WHERE key = ?", (work.key,)).fetchone()
    return str(known["digest"])


def _begin(connection: sqlite3.Connection, key: str, begun: Begun) -> None:
    connection.execute(
        "UPDATE inferences SET state = ?, provider = ?, upstream_model = ? WHERE key = ? AND state = ?",
        (MailboxState.RUNNING, begun.provider, begun.upstream_model, key, MailboxState.ACCEPTED),
    )


def _note(connection: sqlite3.Connection, key: str, reference: str) -> None:
    connection.execute("UPDATE inferences SET reference = ? WHERE key = ? AND finished_at IS NULL", (reference, key))


def _end(connection: sqlite3.Connection, key: str, ended: Ended, now: float) -> None:
    connection.execute(
        "UPDATE inferences SET state = :state, response_json = :response_json, response_sha256 = :response_sha256,"
        " simulated = :simulated, error_json = :error_json, stages_json = :stages_json, finished_at = :now,"
        " route_json = :route_json, request_json = NULL WHERE key = :key AND finished_at IS NULL",
        {**ended.row(), "now": now, "key": key},
    )


def _read(connection: sqlite3.Connection, key: str) -> dict[str, Any] | None:
    row = connection.execute("SELECT * FROM inferences WHERE key = ?", (key,)).fetchone()
    return None if row is None else dict(row)


def _left_over(connection: sqlite3.Connection) -> list[tuple[Accepted, bool]]:
    rows = connection.execute(
        "SELECT * FROM inferences WHERE finished_at IS NULL ORDER BY accepted_at, key",
    )
    names = [each.name for each in fields(Accepted) if each.name != "request"]
    return [
        (
            Accepted(**{name: row[name] for name in names}, request=json.loads(row["request_json"])),
            row["state"] == MailboxState.RUNNING,
        )
        for row in rows.fetchall()
    ]


def _purge(connection: sqlite3.Connection, before: float) -> int:
    return connection.execute("DELETE FROM inferences WHERE finished_at < ?", (before,)).rowcount
