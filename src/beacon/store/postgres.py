"""PostgreSQL as the job database: any number of processes, one server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from beacon.errors import BeaconError, DatabaseError, InputError
from beacon.store.migrate import bring_up_to_date, revision_is_newest

P = ParamSpec("P")
T = TypeVar("T")

CONNECTIONS = 8
"""Kept open at most by one process; each transaction holds one for milliseconds."""
CONNECT_TIMEOUT_S = 10
"""How long one address of the server is tried; then the database is said to be out of reach."""
POOL_TIMEOUT_S = 10.0
"""How long a free connection, and a new one, is waited for; then the database is said to be out of reach."""
TRIES = 5
"""A transaction that met another one (serialization failure, deadlock, the same new key) is done again this often."""
_CLASHES = {"40001", "40P01", "23505"}
_MIGRATION_LOCK = 0x6265_6163  # "beac": one process migrates at a time

_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    # Milliseconds. A server that vanished without a word is given up after this.
    "tcp_user_timeout": 25_000,
}


def connection_arguments(name: str) -> dict[str, Any]:
    """What every connection is opened with; the server shows it under `name`."""
    return {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": name, **_ALIVE}


class PostgresDatabase:
    """A server's database over a small pool of connections. Raises InputError for an address that is not one."""

    def __init__(self, address: str) -> None:
        try:
            url = make_url(address).set(drivername="postgresql")
        except ArgumentError as error:
            todo = "write postgresql://USER@HOST/DATABASE"
            raise InputError("the address is not understood", where="BEACON_DATABASE_URL", todo=todo) from error
        self.url = url.render_as_string(hide_password=False)
        self._shown = url.render_as_string(hide_password=True)
        self._engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=True,
            connect_args=connection_arguments("beacon"),
        )
        self._single = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    async def prepare(self) -> None:
        # Looked at first: a migration's lock is nothing that every start waits for.
        if not await self.read(revision_is_newest):
            await self.write(_migrate)

    async def write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def once() -> T:
            async with self._engine.begin() as connection:
                return await connection.run_sync(function, *args, **kwargs)

        return await self._patiently(once)

    async def write_at_once(
        self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def once() -> T:
            async with self._single.connect() as connection:
                return await connection.run_sync(function, *args, **kwargs)

        return await self._patiently(once)

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def once() -> T:
            async with self._snapshot.connect() as connection:
                return await connection.run_sync(function, *args, **kwargs)

        return await self._patiently(once)

    async def _patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        """Does it again where it met another transaction. Raises DatabaseError."""
        for tried in range(1, TRIES + 1):
            try:
                return await once()
            except DBAPIError as error:
                if tried == TRIES or _sqlstate(error) not in _CLASHES:
                    raise explain_postgres(error, self._shown) from error
                await asyncio.sleep(0.02 * tried * (0.5 + random.random()))
            except PoolTimeoutError as error:
                what = f"no connection became free within {POOL_TIMEOUT_S:g} s"
                todo = "look for long transactions on the server, or run fewer processes"
                raise DatabaseError(what, where=self._shown, todo=todo, passing=True) from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        await self._engine.dispose()


_PASSING = frozenset({"25006", "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05"})
"""Beside classes 08 (connection) and 53 (resources): of a standby that becomes the primary, of transactions that met
others too often, of a server that is ended or started."""
_REFUSALS = {
    "authentication failed": ("the server refuses the password", "correct BEACON_DATABASE_URL"),
    "no pg_hba.conf entry": ("the server refuses this user or host", "have it admitted in the server's pg_hba.conf"),
    " does not exist": ("the server has no such database or user", "create it, or correct BEACON_DATABASE_URL"),
    "could not translate host name": ("the server's name is not known", "correct BEACON_DATABASE_URL"),
}
"""How a server that is there refuses a connection: the driver gives such an error no code."""


def _migrate(connection: Connection) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    bring_up_to_date(connection)


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def explain_postgres(error: DBAPIError, where: str) -> BeaconError:
    """The driver's error as one that says what to do; a value that it does not take is bad input.

    Classes: https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
    state = _sqlstate(error)
    if state is None and isinstance(error, DataError):
        # The driver refuses it, such as a NUL in a text, before the server hears of it.
        return InputError(f"a value that the database cannot hold: {said}", todo="leave it out")
    what: str
    todo: str | None
    known: dict[str | None, tuple[str, str]] = {
        "53100": ("the server's disk is full; nothing was half-written", "free some space, then resume the job"),
        "53300": ("the server has no connection left", "raise its max_connections, or run fewer processes"),
        "57P03": ("the server is starting or shutting down", "wait until it is up; unfinished jobs go on then"),
        "25006": ("the server is read-only, as a standby is", "name the primary server in BEACON_DATABASE_URL"),
        "3D000": ("the server has no such database", "create it (`createdb NAME`), or correct BEACON_DATABASE_URL"),
        "28P01": ("the server refuses the password", "correct BEACON_DATABASE_URL"),
        "28000": ("the server refuses the user", "correct BEACON_DATABASE_URL"),
    }
    refusal = next((known for text, known in _REFUSALS.items() if state is None and text in said), None)
    if refusal is not None:
        what, todo = f"{refusal[0]}: {said}", refusal[1]
    elif state in known:
        what, todo = known[state]
    elif state is None or state.startswith("08") or state in {"57P01", "57P02"}:
        what, todo = f"the server cannot be reached: {said}", "check that it runs and that the address is right"
    else:
        what, todo = f"the database refused: {said}", None
    if state is None:
        passing = refusal is None and isinstance(error, OperationalError | InterfaceError)
    else:
        passing = state in _PASSING or state[:2] in ("08", "53")
    return DatabaseError(what, where=where, todo=todo, passing=passing)
