"""A runner inside this process: database, fleet, router and analyst opened together and closed in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import Connection

from beacon.cli.gateway_fleet import gateway_fleet
from beacon.cli.opening import RUN_HOLD_S, open_in_time, patience_of_a_run
from beacon.cli.reloading import following
from beacon.cli.settings import GATEWAY_VARIABLE, database_url, spool_folder
from beacon.domain.clock import SystemClock
from beacon.domain.fleet import Fleet
from beacon.errors import ExitCode
from beacon.lab.fleet import Lab, begin_lab, ready_lab
from beacon.router.router import Router
from beacon.runner.analyst import Analyst
from beacon.runner.inputs import LAB, FleetFile, find_fleet, read_fleet
from beacon.runner.owner import LEASE_S
from beacon.runner.runner import Runner
from beacon.runner.spool import Spool
from beacon.store.database import Database, open_database
from beacon.telemetry.logs import configure_logs


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a command that drives jobs itself works with."""

    database: Database
    router: Router
    runner: Runner

    @property
    def fleet(self) -> Fleet:
        """As it is now: a reload replaces it."""
        return self.router.fleet


@asynccontextmanager
async def opened_fleet(option: str | None, begun: Lab | None = None) -> AsyncIterator[FleetFile]:
    """The fleet that is meant: that of a gateway where one is named; the lab runs for as long as it is open where it
    is `lab`, the one that was `begun` if there is one.

    Raises InputError, DocumentError, UnavailableError.
    """
    gateway = os.environ.get(GATEWAY_VARIABLE, "").strip()
    if gateway:
        if option:
            print(f"The fleet is that of the gateway at {gateway}: --fleet is passed over", file=sys.stderr)
        yield FleetFile(await gateway_fleet(gateway, os.environ), Path.cwd())
        return
    async with opened_own_fleet(option, begun) as file:
        yield file


@asynccontextmanager
async def opened_own_fleet(option: str | None, begun: Lab | None = None) -> AsyncIterator[FleetFile]:
    """The fleet of a file or the lab, whatever gateway is named. Raises InputError, DocumentError."""
    chosen = find_fleet(option, os.environ)
    if chosen != LAB:
        yield read_fleet(Path(chosen))
        return
    async with ready_lab(begun or begin_lab()) as lab:
        yield FleetFile(lab.fleet, Path.cwd())


@asynccontextmanager
async def embedded(
    database_option: str | None,
    fleet_option: str | None,
    *,
    lease_s: float = LEASE_S,
    check: Callable[[Fleet], None] | None = None,
    lab: Lab | None = None,
    waits_s: float | None = None,
    hold_s: float | None = RUN_HOLD_S,
) -> AsyncIterator[Embedded]:
    """Opens everything. `check` sees the fleet before a database is made, and raises where that is not to be.

    A database that is away is waited for: for `waits_s` now, where None stands for what fits a command that drives one
    job, and for `hold_s` later, where None stands for ever. Raises InputError, DocumentError, DatabaseError.
    """
    if not structlog.is_configured():
        # A command that shows progress and results: logs would get between, and never belong on stdout.
        configure_logs(least=logging.ERROR)
    async with AsyncExitStack() as stack:
        file = await stack.enter_async_context(opened_fleet(fleet_option, lab))
        if check is not None:
            check(file.fleet)
        url = database_url(database_option)
        database = await open_in_time(url, patience_of_a_run(url) if waits_s is None else waits_s)
        stack.push_async_callback(database.close)
        # A runner holds its writes for longer: a database that is locked already is said before one begins.
        await database.write(_nothing)
        yield await stack.enter_async_context(_house(database, file, lease_s, hold_s))


def _nothing(_: Connection) -> None:
    """Takes the right to write, and gives it back."""


@asynccontextmanager
async def embedded_without_fleet(database_option: str | None) -> AsyncIterator[Embedded]:
    """For a job that asks nobody any more: one that was stopped, or of which only the report is missing.

    Raises DatabaseError.
    """
    database = await open_database(database_url(database_option))
    try:
        # No file can be a fleet without providers; whatever tried to send something would be refused by name.
        async with _house(database, FleetFile(Fleet.model_construct(providers=()), Path.cwd())) as house:
            yield house
    finally:
        await database.close()


@asynccontextmanager
async def _house(
    database: Database, file: FleetFile, lease_s: float = LEASE_S, hold_s: float | None = RUN_HOLD_S
) -> AsyncIterator[Embedded]:
    clock, spool = SystemClock(), Spool(spool_folder())
    async with (
        Router(file.fleet, base=file.base, environ=os.environ, clock=clock) as router,
        Analyst() as analyst,
        Runner(database, router, clock, analyst=analyst, lease_s=lease_s, spool=spool, hold_s=hold_s) as runner,
        following(router, file),
    ):
        yield Embedded(database, router, runner)


class Stoppable(Protocol):
    def stop(self) -> None: ...


class Interruption:
    """Ctrl-C and SIGTERM: the first asks the runner to stop cleanly, the second ends the process at once."""

    def __init__(self, runner: Stoppable) -> None:
        self.asked = False
        self._runner = runner
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.asked:
            os._exit(ExitCode.INTERRUPTED)
        self.asked = True
        self._runner.stop()
