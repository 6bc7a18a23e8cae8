"""The storage path of the real runner: write-ahead, results, events and barrier, with a provider that answers at once.

Everything but the network is what Beacon uses: Router, and Runner on SQLite with `synchronous=FULL`, or one Worker on a
PostgreSQL server with its own defaults. Classification is left out, because it runs beside the job in a process of its
own. Time is from the job's creation to its barrier, so that admission counts. Prints figures, asserts nothing.

    PYTHONPATH=. python benchmarks/storage.py [--executions 50000] [--slots 500] [--commit-ms 0 4]
    PYTHONPATH=. python benchmarks/storage.py --database sqlite --commit-ms 0 --executions 500000    # peak memory
    PYTHONPATH=. python benchmarks/storage.py --gaps 500     # barrier gap over so many small jobs, embedded
    PYTHONPATH=. python benchmarks/storage.py --database sqlite --commit-ms 0 --profile loop         # or: writer
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import logging
import pstats
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from beacon.cli.busy import run_busy
from beacon.domain.clock import SystemClock
from beacon.domain.kpis import percentile
from beacon.errors import BeaconError
from beacon.runner.admission import submit
from beacon.runner.runner import Runner
from beacon.runner.worker import Worker
from beacon.store import jobs
from beacon.store.database import Database, SqliteDatabase
from beacon.store.jobs import Job
from beacon.store.postgres import PostgresDatabase
from beacon.telemetry.logs import configure_logs
from benchmarks.instant import NoAnalyst, instant_fleet, instant_router, wanted
from benchmarks.main_path import REGIONS
from benchmarks.postgres import postgres

LOOK_S = 0.5
"""How often it is looked whether a worker's job is at its barrier; the moment itself is read from the database."""


@dataclass(frozen=True)
class Setting:
    """`commit_ms` are added to each commit; `profile` names the thread whose profile is printed."""

    executions: int
    slots: int
    commit_ms: float
    profile: str | None = None


async def on_sqlite(setting: Setting, folder: Path) -> None:
    database = SqliteDatabase(folder / f"{setting.commit_ms}.db")
    await database.prepare()
    event.listen(database._write_engine, "commit", lambda _: time.sleep(setting.commit_ms / 1000))
    spec, clock = wanted(setting.executions), SystemClock()
    fleet = instant_fleet(setting.slots)
    async with (
        instant_router(fleet, folder, clock) as router,
        Runner(database, router, clock, analyst=NoAnalyst()) as runner,
    ):
        job_id, _ = await submit(database, spec, fleet, clock)
        profile = cProfile.Profile()
        if setting.profile == "writer":
            await database.write(lambda _: profile.enable())
        loop_s, writer_s = time.thread_time(), await database.write(_thread_time)
        if setting.profile == "loop":
            profile.enable()
        with contextlib.suppress(BeaconError):
            await runner.drive(job_id)
        profile.disable()
        loop_s, writer_s = time.thread_time() - loop_s, await database.write(_thread_time) - writer_s
        if setting.profile == "writer":
            await database.write(lambda _: profile.disable())
        job = await database.read(jobs.get, job_id)
    await database.close()
    if setting.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    tell("SQLite", setting, job, loop=loop_s, writer=writer_s)


async def on_postgres(setting: Setting, folder: Path, url: str) -> None:
    database = PostgresDatabase(url)
    await database.prepare()
    await database.write(_slow_down, setting.commit_ms)
    await database.close()
    # Opened anew: the setting holds for connections that begin after it.
    database = PostgresDatabase(url)
    spec, clock = wanted(setting.executions), SystemClock()
    fleet = instant_fleet(setting.slots)
    async with (
        instant_router(fleet, folder, clock) as router,
        Runner(database, router, clock, analyst=NoAnalyst()) as runner,
    ):
        worker = Worker(runner, REGIONS)
        working = asyncio.create_task(worker.run())
        profile = cProfile.Profile()
        loop_s = time.thread_time()
        job_id, _ = await submit(database, spec, fleet, clock)
        if setting.profile:
            profile.enable()
        job = await reached_barrier(database, job_id)
        profile.disable()
        loop_s = time.thread_time() - loop_s
        worker.stop()
        await working
    await database.close()
    if setting.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    tell("PostgreSQL", setting, job, loop=loop_s)


async def reached_barrier(database: Database, job_id: str) -> Job:
    while (job := await database.read(jobs.get, job_id)).finalizing_at is None:
        await asyncio.sleep(LOOK_S)
    return job


def _thread_time(_: sa.Connection) -> float:
    return time.thread_time()


def _slow_down(connection: sa.Connection, commit_ms: float) -> None:
    """The server itself waits before it makes a commit durable, whoever else is committing."""
    name = connection.scalar(sa.select(sa.func.current_database()))
    for what in (f"commit_delay = {int(commit_ms * 1000)}", "commit_siblings = 0"):
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET {what}')


def tell(database: str, setting: Setting, job: Job, **threads: float) -> None:
    assert job.finalizing_at is not None
    assert job.started_at is not None
    took = job.finalizing_at - job.created_at
    spent = ", ".join(f"{name} {1e6 * seconds / job.total:.0f}" for name, seconds in threads.items())
    print(
        f"  {database}, {setting.commit_ms:g} ms added to a commit: {job.total} executions in {took:.2f} s, "
        f"{job.total / took:.0f}/s; admission {job.started_at - job.created_at:.2f} s; "
        f"CPU in us an execution: {spent}; {job.seq} events; peak memory {peak_mb():.0f} MB",
        flush=True,
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def gaps(count: int, folder: Path) -> None:
    """`count` jobs of 54 executions, four at a time: from the last answer to the barrier."""
    database, clock = SqliteDatabase(folder / "gaps.db"), SystemClock()
    await database.prepare()
    fleet, spec = instant_fleet(slots=16), wanted(54, questions=6)
    async with (
        instant_router(fleet, folder, clock) as router,
        Runner(database, router, clock, analyst=NoAnalyst()) as runner,
    ):
        found: list[float] = []

        async def one_after_the_other(of: int) -> None:
            for _ in range(of):
                job_id, _new = await submit(database, spec, fleet, clock)
                with contextlib.suppress(BeaconError):
                    await runner.drive(job_id)
                gap = (await database.read(jobs.get, job_id)).barrier_gap_ms
                assert gap is not None
                found.append(gap)

        await asyncio.gather(*(one_after_the_other(count // 4) for _ in range(4)))
    await database.close()
    middle, high, most = (percentile(found, share) for share in (0.5, 0.99, 1.0))
    print(
        f"  Barrier gap over {len(found)} jobs of {spec.total} executions, embedded: "
        f"p50 {middle:.1f} ms, p99 {high:.1f} ms, longest {most:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=50_000)
    parser.add_argument("--slots", type=int, default=500, help="requests in flight at each of the three providers")
    parser.add_argument("--commit-ms", type=float, nargs="+", default=[0.0, 4.0], help="added to each commit")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="one of them alone")
    parser.add_argument("--url", help="a PostgreSQL database to use; default a server of its own")
    parser.add_argument("--gaps", type=int, default=400, help="small jobs over which the barrier gap is taken; 0: none")
    parser.add_argument("--profile", choices=["loop", "writer"], help="print where this thread spends its time")
    given = parser.parse_args()
    configure_logs(least=logging.CRITICAL)
    print("Storage path: write-ahead, results, events and barrier, from a job's creation")
    settings = [Setting(given.executions, given.slots, ms, given.profile) for ms in given.commit_ms]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if given.database != "postgresql":
            for setting in settings:
                run_busy(on_sqlite(setting, folder))
            if given.gaps:
                run_busy(gaps(given.gaps, folder))
        if given.database != "sqlite":
            with postgres(given.url) as url:
                for setting in settings:
                    run_busy(on_postgres(setting, folder, url))


if __name__ == "__main__":
    main()
