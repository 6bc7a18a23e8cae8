"""The storage path of the real runner: write-ahead, results, events and barrier, with a provider that answers at once.

Everything but the network is what `beacon run` uses: Runner, Router, SQLite with `synchronous=FULL`. Classification is
left out, because it runs beside the job in a process of its own. Prints figures, asserts nothing.

    PYTHONPATH=. python benchmarks/storage.py [--executions 50000] [--slots 500] [--profile main|writer]
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from sqlalchemy import event

from beacon.cli.busy import run_busy
from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import SystemClock
from beacon.domain.fleet import parse_fleet
from beacon.domain.spec import parse_spec
from beacon.errors import BeaconError, UnavailableError
from beacon.router.router import Router
from beacon.router.transports.base import Call
from beacon.runner.admission import submit
from beacon.runner.analyst import Analyst
from beacon.runner.inputs import complete
from beacon.runner.runner import Runner
from beacon.store.database import SqliteDatabase
from beacon.store.tables import jobs
from benchmarks.main_path import MODELS, REGIONS, spec


class Instant:
    """A provider inside the process. It answers at once, with a text of ordinary length."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def infer(self, call: Call) -> Outcome:
        now = time.time()
        return Answer(
            text="The square of a number is that number times itself. " * 4,
            finish_reason="stop",
            provider=self._name,
            model_echoed=call.inference.model,
            region_stated=call.inference.region,
            region_evidence="stated",
            upstream=None,
            input_tokens=20,
            output_tokens=48,
            cost_usd=None,
            simulated=True,
            replayed=False,
            started_at=now,
            first_token_at=now,
            finished_at=now,
            duration_ms=0.0,
            stages_ms={"route": 0.0, "connect": 0.0, "inference": 0.0},
        )


class NoAnalyst(Analyst):
    """Stands where classification and finalizing would begin: what is measured ends before them."""

    async def start(self) -> None: ...

    async def ask(self, task: str, *args: object) -> Any:
        raise UnavailableError(f"{task} is not part of this benchmark")


def fleet_yaml(slots: int) -> str:
    """One simulated provider a region, which is never spoken to over a network."""
    providers = [
        {
            "name": f"{region}-instant",
            "region": region,
            "transport": "openai",
            "url": "http://127.0.0.1:9/v1",
            "models": MODELS,
            "concurrency": slots,
            "simulated": True,
        }
        for region in REGIONS
    ]
    return yaml.safe_dump({"schema": "beacon.fleet/v1", "providers": providers})


async def barrier_reached(database: SqliteDatabase, job_id: str) -> tuple[float, float] | None:
    """Moments of the job's creation and of its barrier."""
    query = sa.select(jobs.c.created_at, jobs.c.finalizing_at, jobs.c.seq).where(jobs.c.id == job_id)
    created, barrier, _seq = await database.read(lambda connection: connection.execute(query).one())
    return None if barrier is None else (created, barrier)


async def run(folder: Path, executions: int, slots: int, commit_ms: float) -> None:
    clock = SystemClock()
    fleet = parse_fleet(fleet_yaml(slots), "benchmark")
    wanted = complete(parse_spec(yaml.safe_dump(spec(executions)), "benchmark"), "benchmark")
    database = SqliteDatabase(folder / f"{commit_ms}.db")
    await database.prepare()
    event.listen(database._write_engine, "commit", lambda _: time.sleep(commit_ms / 1000))
    async with Router(fleet, base=folder, environ={}, clock=clock) as router:
        for lane in router._registry.lanes.values():
            lane.wire.transport = Instant(lane.provider.name)
        async with Runner(database, router, clock, analyst=NoAnalyst()) as runner:
            job_id, _ = await submit(database, wanted, fleet, clock)
            with contextlib.suppress(BeaconError):
                await runner.drive(job_id)
            reached = await barrier_reached(database, job_id)
    await database.close()
    if reached is None:
        raise SystemExit("the job did not reach its barrier")
    took = reached[1] - reached[0]
    count = wanted.total
    print(f"  SQLite, {commit_ms:g} ms added to a commit: {count} executions in {took:.2f} s, {count / took:.0f}/s")


def profiled(work: Callable[[], None]) -> None:
    profile = cProfile.Profile()
    profile.runcall(work)
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=50_000)
    parser.add_argument("--slots", type=int, default=500, help="requests in flight at each of the three providers")
    parser.add_argument("--profile", action="store_true", help="print where the event loop's thread spends its time")
    arguments = parser.parse_args()
    print("Storage path: write-ahead, results, events and barrier, from a job's creation")
    with tempfile.TemporaryDirectory() as name:

        def at(commit_ms: float) -> None:
            run_busy(run(Path(name), arguments.executions, arguments.slots, commit_ms))

        if arguments.profile:
            profiled(lambda: at(0.0))
        else:
            at(0.0)
            at(4.0)


if __name__ == "__main__":
    main()
