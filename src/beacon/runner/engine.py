"""The engine that hands tasks to workers: Procrastinate over the job database.

It queues, wakes, counts heartbeats and keeps to priorities. Who may send is decided by Beacon's own leases and epochs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
import structlog
from procrastinate import exceptions
from procrastinate.jobs import DeleteJobCondition

from beacon.errors import BeaconError
from beacon.store import tasks
from beacon.store.postgres import connection_arguments

log = structlog.get_logger()

HEARTBEAT_S = 2.0
"""How often the engine hears from a worker."""
SILENT_S = 8.0
"""A worker that the engine has not heard from for so long is taken for dead, and its tasks are removed."""
POLL_S = 1.0
"""How often a worker asks for tasks without having been woken: of postponed ones nobody is told."""
GRACE_S = 4.0
"""How long a worker that is stopped waits for its tasks; less than `SILENT_S` by more than `HEARTBEAT_S`."""
CONNECTION_S = 5.0
"""How long the engine waits for a connection of its own pool; then the database is taken to be away."""
RESTART_S = 1.0
"""Before the engine is started again, after the database was away or it ended unasked."""


@dataclass(frozen=True, slots=True)
class Handlers:
    """What is done for a task of each kind; each also gets the task's own number."""

    admit: Callable[[int, str], Awaitable[None]]
    drive: Callable[[int, str, int], Awaitable[None]]
    finalize: Callable[[int, str], Awaitable[None]]
    tidy: Callable[[], Awaitable[None]]


MORE_QUEUES = 16
"""Queues that may be added while the engine runs: each needs a connection to listen on."""


class Engine:
    """Runs tasks of the given queues until `stop`. `slots` says how many of a queue run at once."""

    def __init__(self, url: str, slots: dict[str, int], handlers: Handlers) -> None:
        self._slots = dict(slots)
        self._stopping = asyncio.Event()
        self._added = asyncio.Event()
        connector = procrastinate.PsycopgConnector(
            conninfo=url,
            min_size=1,
            # One of each queue listens for news, the rest serve; they are opened as they are needed.
            max_size=len(slots) + MORE_QUEUES + 3,
            timeout=CONNECTION_S,
            kwargs=connection_arguments("beacon-engine"),
        )
        self._app = procrastinate.App(connector=connector)
        _register(self._app, handlers)

    def stop(self) -> None:
        self._stopping.set()

    def add(self, queue: str, slots: int) -> None:
        """Runs tasks of this queue, too, from now on; those of the others go on undisturbed."""
        self._slots[queue] = slots
        self._added.set()

    async def run(self) -> None:
        """A return of the engine that nobody asked for is a failure like any other: it is started again.

        Why is said once, however often it fails before it runs again.
        """
        said = False
        while not self._stopping.is_set():
            try:
                async with self._app.open_async():
                    said = False
                    await self._run_queues()
                why = "a side task of it ended"
            except (exceptions.ConnectorException, psycopg.Error, OSError) as error:
                why = str(error.__cause__ or error)
            if not self._stopping.is_set():
                if not said:
                    log.warning("the engine ended and is started again", why=why)
                said = True
                await _until(self._stopping, RESTART_S)

    async def _run_queues(self) -> None:
        """One worker of the engine each queue, so that a slow region never takes another's slots."""
        running: dict[str, asyncio.Task[None]] = {}
        asked = asyncio.create_task(self._stopping.wait())
        try:
            while not asked.done() and not any(task.done() for task in running.values()):
                self._added.clear()
                for queue in self._slots.keys() - running.keys():
                    running[queue] = asyncio.create_task(self._run_queue(queue, self._slots[queue]))
                added = asyncio.create_task(self._added.wait())
                await asyncio.wait({asked, added, *running.values()}, return_when=asyncio.FIRST_COMPLETED)
                added.cancel()
        finally:
            asked.cancel()
            ended = [task for task in running.values() if task.done()]
            for task in running.values():
                task.cancel()
            await asyncio.wait(running.values())
        for task in ended:
            task.result()

    async def _run_queue(self, queue: str, slots: int) -> None:
        await self._app.run_worker_async(
            queues=[queue],
            name=queue,
            concurrency=slots,
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=SILENT_S,
            fetch_job_polling_interval=POLL_S,
            shutdown_graceful_timeout=GRACE_S,
            # What a task did stands in Beacon's own tables.
            delete_jobs=DeleteJobCondition.ALWAYS,
        )


def _register(app: procrastinate.App, handlers: Handlers) -> None:
    @app.task(name=tasks.ADMIT, pass_context=True)
    async def admit(context: procrastinate.JobContext, job_id: str) -> None:
        await handlers.admit(_number(context), job_id)

    @app.task(name=tasks.DRIVE, pass_context=True)
    async def drive(context: procrastinate.JobContext, job_id: str, number: int) -> None:
        await handlers.drive(_number(context), job_id, number)

    @app.task(name=tasks.FINALIZE, pass_context=True)
    async def finalize(context: procrastinate.JobContext, job_id: str) -> None:
        await handlers.finalize(_number(context), job_id)

    # Without a periodic task the engine no longer notices when one of its side tasks, a heartbeat say, has failed.
    @app.periodic(cron="* * * * *")
    @app.task(name=tasks.TIDY, queue=tasks.JOBS_QUEUE, queueing_lock=tasks.TIDY)
    async def tidy(timestamp: int) -> None:
        try:
            await handlers.tidy()
        except BeaconError as error:
            log.warning("tasks could not be tidied up", at=timestamp, why=error.what)


def _number(context: procrastinate.JobContext) -> int:
    number: Any = context.job.id
    return int(number)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
