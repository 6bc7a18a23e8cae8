"""What workers promise, with real processes over a real PostgreSQL. Prints each figure beside its limit.

    make bench BENCH=benchmarks/workers.py [ARGS='--only sharing gap takeover run --rounds 3']

1. sharing: a job whose answers take a second each, with one worker's concurrency as its limit: the time of two workers
   over that of one, from the job's start to its barrier.
2. gap: from the last answer to the barrier, over many small jobs that two workers share (`barrier_gap_ms`), and from
   there to the seal.
3. takeover: from a worker's end until each of its shards has another owner: killed beside others on its host, and
   stopped for good, which to the others is a worker that was killed elsewhere.
4. run: what `beacon run` spends outside its job: the process's time less `completed_at` - `created_at`.

On a machine that others use the figures are upper bounds; the best of several rounds says most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from beacon.domain.clock import SystemClock
from beacon.domain.fleet import Fleet
from beacon.domain.kpis import percentile
from beacon.domain.spec import JobSpec
from beacon.lab.fleet import Lab, start_lab
from beacon.runner.admission import submit
from beacon.store import jobs, workers
from beacon.store.database import Database, open_database
from beacon.store.jobs import Job
from benchmarks.chaos import WorkerProcess, all_taken, held_by, postgres

MODEL = "llama3.2-1b"
REGIONS = ("us", "eu")
SHARING_LIMIT = 0.55
GAP_LIMIT_MS = 150.0
SEALED_LIMIT_S = 5.0
TAKEOVER_LIMIT_S = 15.0
OUTSIDE_LIMIT_S = 0.6
JOBS_OPEN = 6
LONG_S = 300.0


class Hall:
    """Real workers of one database over one lab."""

    def __init__(self, folder: Path, database: Database, lab: Lab, concurrency: int) -> None:
        self.database = database
        self._folder = folder
        document = yaml.safe_load(lab.fleet_yaml())
        for provider in document["providers"]:
            provider.update(concurrency=concurrency)
        (folder / "fleet.yaml").write_text(yaml.safe_dump(document))
        self._fleet = Fleet.model_validate(document)
        self.workers: list[WorkerProcess] = []

    async def start(self, count: int, *options: str) -> None:
        """So many workers more, up and ready."""
        begun = [WorkerProcess(self._folder, self.database.url, *options) for _ in range(count)]
        self.workers += begun
        async with asyncio.timeout(LONG_S):
            while not await self._are_up({worker.pid for worker in begun}):
                await asyncio.sleep(0.1)
        # They announce themselves just before they ask for tasks.
        await asyncio.sleep(1.0)

    async def _are_up(self, pids: set[int]) -> bool:
        known = await self.database.read(workers.listed, time.time())
        return pids <= {int(worker.owner.split("|")[1]) for worker in known}

    def end(self, worker: WorkerProcess, number: signal.Signals = signal.SIGTERM) -> None:
        worker.send(signal.SIGCONT)
        worker.end(number)
        self.workers.remove(worker)

    async def submit(self, questions: int, repeats: int, regions: Sequence[str] = REGIONS) -> str:
        spec = {
            "schema": "beacon.job/v1",
            "name": "Benchmark",
            "questions": [{"id": f"q{n}", "text": f"What is {n} plus {n}?"} for n in range(questions)],
            "models": [MODEL],
            "regions": list(regions),
            "repeats": repeats,
            "seed": 7,
            "limits": {"execution_deadline": "300s"},
        }
        return (await submit(self.database, JobSpec.model_validate(spec), self._fleet, SystemClock()))[0]

    async def until_over(self, job_id: str) -> Job:
        async with asyncio.timeout(LONG_S):
            while not (job := await self.database.read(jobs.get, job_id)).over:
                await asyncio.sleep(0.05)
        return job


@asynccontextmanager
async def opened(url: str, latency_ms: int, concurrency: int) -> AsyncIterator[Hall]:
    """A hall without workers yet; every answer takes so long, and a process has so many in flight at each provider."""
    with tempfile.TemporaryDirectory(prefix="beacon-workers-") as name:
        folder = Path(name)
        world = {
            "schema": "beacon.world/v1",
            "name": "steady",
            "description": "Every answer takes the same time.",
            "rules": [{"latency": f"{latency_ms}ms"}],
        }
        (folder / "world.yaml").write_text(yaml.safe_dump(world))
        database = await open_database(url)
        async with start_lab(str(folder / "world.yaml"), regions=REGIONS, record=False) as lab:
            hall = Hall(folder, database, lab, concurrency)
            try:
                yield hall
            finally:
                for worker in list(hall.workers):
                    hall.end(worker)
                await database.close()


def told(what: str, value: float, limit: float, unit: str) -> None:
    mark = "" if value <= limit else "   MISSED"
    print(f"  {what:52} {value:8.2f} {unit:3} limit {limit:6.2f} {unit}{mark}", flush=True)


async def sharing(url: str, rounds: int) -> None:
    print("Two workers share an I/O-bound job: 2,000 executions of 1 s in 4 shards; 50 in flight a worker, of 2 shards")
    ratios = []
    async with opened(url, 1_000, 50) as hall:
        for _ in range(rounds):
            took = []
            for count in (1, 2):
                await hall.start(count - len(hall.workers), "--concurrency", "2")
                job = await hall.until_over(await hall.submit(questions=20, repeats=100, regions=REGIONS[:1]))
                took.append((job.finalizing_at or 0.0) - (job.started_at or 0.0))
            ratios.append(took[1] / took[0])
            print(f"    one {took[0]:.1f} s, two {took[1]:.1f} s: {ratios[-1]:.1%}", flush=True)
            hall.end(hall.workers[-1])
    told("time of two workers over that of one, best round", 100 * min(ratios), 100 * SHARING_LIMIT, "%")


async def gap(url: str, count: int) -> None:
    print(f"Barrier gap: {count} jobs of 12 executions, {JOBS_OPEN} open at once, two workers beside the database")
    found: list[Job] = []
    async with opened(url, 50, 16) as hall:
        await hall.start(2)
        turn = asyncio.Semaphore(JOBS_OPEN)

        async def one() -> None:
            async with turn:
                found.append(await hall.until_over(await hall.submit(questions=2, repeats=3)))

        await asyncio.gather(*(one() for _ in range(count)))
    gaps = [job.barrier_gap_ms for job in found if job.barrier_gap_ms is not None]
    sealed = [(job.completed_at or 0.0) - (job.last_finished_at or 0.0) for job in found]
    print(f"    last answer to barrier: median {median(gaps):.1f} ms, worst {max(gaps):.1f} ms")
    told("last answer to barrier, 99th percentile", percentile(gaps, 0.99) or 0.0, GAP_LIMIT_MS, "ms")
    told("last answer to seal, 99th percentile", percentile(sealed, 0.99) or 0.0, SEALED_LIMIT_S, "s")


async def takeover(url: str, kills: int, stops: int) -> None:
    print(f"Takeover by default settings: {kills} workers killed, {stops} stopped for good, one after the other")
    killed, stopped = [], []
    async with opened(url, 60_000, 8) as hall:
        await hall.start(2)
        await hall.submit(questions=20, repeats=100)
        for blow in range(kills + stops):
            by_stop = blow >= kills
            victim, held = await _at_work(hall)
            victim.send(signal.SIGSTOP if by_stop else signal.SIGKILL)
            since = time.monotonic()
            async with asyncio.timeout(LONG_S):
                while not await hall.database.read(all_taken, held):
                    await asyncio.sleep(0.05)
            (stopped if by_stop else killed).append(time.monotonic() - since)
            hall.end(victim, signal.SIGKILL)
            await hall.start(1)
    for name, took in (("killed beside others", killed), ("as if killed elsewhere", stopped)):
        if took:
            print(f"    {name}: median {median(took):.1f} s of {len(took)}")
            told(f"{name}, worst", max(took), TAKEOVER_LIMIT_S, "s")


async def _at_work(hall: Hall) -> tuple[WorkerProcess, dict[tuple[str, int], int]]:
    """A worker that drives shards, and which."""
    async with asyncio.timeout(LONG_S):
        while True:
            for worker in hall.workers:
                held = await hall.database.read(held_by, worker.pid)
                if held:
                    return worker, held
            await asyncio.sleep(0.05)


def outside(runs: int) -> None:
    print(f"`beacon run --fleet lab` outside its job of 12 executions: {runs} runs, the first on a new database")
    with tempfile.TemporaryDirectory(prefix="beacon-workers-") as name:
        folder = Path(name)
        spec = {
            "schema": "beacon.job/v1",
            "name": "Small",
            "questions": [{"id": "a", "text": "What is 2 plus 2?"}, {"id": "b", "text": "What is 3 plus 3?"}],
            "models": [MODEL],
            "regions": ["us", "eu", "apac"],
            "repeats": 2,
            "seed": 7,
        }
        (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
        took = [_outside_once(folder) for _ in range(runs)]
    print("    " + ", ".join(f"{wall:.2f} s (processor {cpu:.2f} s)" for wall, cpu in took))
    told("outside the job, best run", min(wall for wall, _ in took), OUTSIDE_LIMIT_S, "s")
    told("outside the job, median", median(wall for wall, _ in took), OUTSIDE_LIMIT_S, "s")


def _outside_once(folder: Path) -> tuple[float, float]:
    """Seconds outside the job, and seconds of processors that the command and its children used in all."""
    own = {"BEACON_SIGNING_KEY": "key.pem", "BEACON_TRANSPARENCY_LOG": "log.db"}
    environment = {**os.environ, "BEACON_DATABASE_URL": f"sqlite:///{folder / 'beacon.db'}"}
    environment |= {variable: str(folder / file) for variable, file in own.items()}
    command = [sys.executable, "-m", "beacon.cli.main", "run", "spec.yaml", "--fleet", "lab", "--json"]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    wall, after = time.perf_counter() - began, os.times()
    document: dict[str, Any] = json.loads(done.stdout)
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall - (document["completed_at"] - document["created_at"]), cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("sharing", "gap", "takeover", "run")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--database", help="a PostgreSQL database to use; default a server of its own")
    given = parser.parse_args()
    _measure(given, given.only)


def _measure(given: argparse.Namespace, only: Sequence[str]) -> None:
    if "run" in only:
        outside(given.runs)
    if "sharing" in only:
        with postgres(given.database) as url:
            asyncio.run(sharing(url, given.rounds))
    if "gap" in only:
        with postgres(given.database) as url:
            asyncio.run(gap(url, given.jobs))
    if "takeover" in only:
        with postgres(given.database) as url:
            asyncio.run(takeover(url, given.kills, given.stops))


if __name__ == "__main__":
    main()
