"""How store functions are run: `await database.write(function, …)` and `await database.read(function, …)`.

On SQLite one thread owns the one writing connection, so that writers never contend inside a process, and a
few threads read from WAL snapshots. A write is one `BEGIN IMMEDIATE` transaction with `synchronous=FULL`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from beacon.errors import BeaconError, DatabaseError, InputError
from beacon.store.migrate import bring_up_to_date, revision, revision_is_newest

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
"""How long another process may hold the database; then a command says that it is locked, and a runner tries again."""
READERS = 4


class Database(Protocol):
    """Runs store functions in transactions; raises DatabaseError when the database cannot be used."""

    @property
    def url(self) -> str: ...

    async def prepare(self) -> None:
        """Creates or migrates the database where needed; raises DatabaseTooNewError where a newer Beacon wrote it."""
        ...

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` in one transaction that is committed when this returns."""
        ...

    async def write_at_once(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `function`, which writes by a single statement where the database is a server: without a transaction
        around it, so that no lock outlives the statement, whatever becomes of this process."""
        ...

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` over one consistent snapshot."""
        ...

    async def close(self) -> None: ...


def sqlite_engine(path: Path, *, begin: str) -> Engine:
    """An engine whose transactions start with the statement `begin`."""
    arguments = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=NullPool, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction handling is off: it would begin late and deferred.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


class SqliteDatabase:
    """The embedded database: one file, one writing thread, `READERS` reading threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_engine = sqlite_engine(path, begin="BEGIN IMMEDIATE")
        self._read_engine = sqlite_engine(path, begin="BEGIN")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="beacon-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="beacon-read")
        self._local = threading.local()
        self._connections: list[Connection] = []

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    async def prepare(self) -> None:
        await self._run(self._writer, self._prepare)

    def _prepare(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            todo = "set BEACON_DATABASE_URL to a place that can be written"
            raise DatabaseError(f"the folder cannot be made: {error.strerror}", where=self.url, todo=todo) from error
        # Looked at without the write lock first, so that a reader does not wait for whoever writes.
        with self._read_engine.begin() as connection:
            if revision_is_newest(connection):
                return
        with self._write_engine.begin() as connection:
            bring_up_to_date(connection)

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._writer, lambda: self._transact(self._write_engine, function, args, kwargs))

    write_at_once = write

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._readers, lambda: self._transact(self._read_engine, function, args, kwargs))

    def _transact(self, engine: Engine, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None or connection.closed:
            connection = self._local.connection = engine.connect()
            self._connections.append(connection)
        with connection.begin():
            return function(connection, *args, **kwargs)

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, call)
        except DBAPIError as error:
            raise self._explained(error) from error

    def _explained(self, error: DBAPIError) -> DatabaseError:
        return explain_sqlite(error, self.url)

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shut_down)

    def _shut_down(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()


def explain_sqlite(error: DBAPIError, url: str) -> DatabaseError:
    """The error of the driver as one that says what to do."""
    text = str(error.orig)
    # In each of these the transaction was undone as a whole.
    locked, full = "locked" in text or "busy" in text, "disk is full" in text
    if locked:
        what = "the database is locked by another process"
        todo = "end or wait for the process that holds it, then run the command again"
    elif "disk I/O error" in text:
        what = "the database's file could not be written or read: the disk is full, a limit was reached, or it fails"
        todo = "free some space or look for the disk's errors in the system's log, then resume the job"
    elif full:
        what, todo = "the disk is full, nothing was half-written", "free some space, then resume the job"
    elif "readonly" in text or "unable to open" in text:
        what, todo = f"the database cannot be opened: {text}", "check the path and its permissions"
    elif "not a database" in text or "malformed" in text:
        what, todo = (
            f"the file is not a usable Beacon database: {text}",
            "restore a copy, or name another file",
        )
    else:
        what, todo = f"the database refused: {text}", None
    return DatabaseError(what, where=url, todo=todo, passing=locked or full)


async def open_database(url: str) -> Database:
    """Opens the database that `url` names (`sqlite:///path`, `postgresql://user@host/name`), and migrates it if needed.

    Raises InputError for an address that is not understood, DatabaseTooNewError, DatabaseError.
    """
    database = _database_at(url)
    try:
        await database.prepare()
    except BeaconError:
        await database.close()
        raise
    return database


async def revision_of(url: str) -> str | None:
    """The revision of a database that exists, which is neither made nor migrated; None for one without tables.

    Raises InputError, DatabaseError.
    """
    database = _database_at(url)
    try:
        return await database.read(revision)
    finally:
        await database.close()


def _database_at(url: str) -> Database:
    prefix = "sqlite:///"
    if url.startswith(prefix) and url != prefix:
        return SqliteDatabase(Path(url.removeprefix(prefix)))
    scheme = url.split(":", 1)[0]
    if scheme in ("postgresql", "postgres"):
        # Imported on demand: an embedded Beacon needs no driver.
        postgres = import_module("beacon.store.postgres")
        database: Database = postgres.PostgresDatabase(url)
        return database
    raise InputError(
        f"databases of kind {scheme!r} are not supported",
        where="BEACON_DATABASE_URL",
        todo="use sqlite:///PATH or postgresql://USER@HOST/DATABASE",
    )
