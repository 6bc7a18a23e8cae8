"""Real workers over a real PostgreSQL, killed and stopped at random moments, and what became of every execution.

    make chaos [KILLS=200] [ARGS='--workers 3 --stop-s 30 --seed 7']

Jobs are kept open while workers are killed (SIGKILL) and started again; every tenth blow stops a worker instead
(SIGSTOP) for longer than its lease and lets it go on. Then every job must end, and the database and the providers'
own logs are counted. Prints zeros and exits 0, or says what was broken and exits 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from beacon.domain.clock import SystemClock
from beacon.domain.spec import JobSpec
from beacon.domain.states import TERMINAL
from beacon.lab.fleet import Lab, start_lab
from beacon.runner.admission import submit
from beacon.store import jobs
from beacon.store.database import Database, open_database
from beacon.store.jobs import Job
from beacon.store.tables import attempts, events, executions, results, shards, workers
from benchmarks.postgres import postgres

JOBS_OPEN = 2
STOP_EVERY = 10
PAUSE_S = (0.2, 2.5)
STUCK_S = 300.0
"""A job of which nothing has moved for so long will never end; how long all takes, depends on the machine."""
UP_S = 30.0


@dataclass
class Plan:
    kills: int
    workers: int = 3
    stop_s: float = 30.0
    seed: int = 7
    repeats: int = 3
    stop_every: int = STOP_EVERY


@dataclass
class Outcome:
    """What was counted; all of `broken` are zero where nothing was lost, doubled or left behind."""

    broken: dict[str, int]
    jobs: int
    executions: int
    kills: int
    stops: int
    takeovers_s: list[float] = field(default_factory=list)
    fenced: int = 0

    @property
    def sound(self) -> bool:
        return not any(self.broken.values())


class WorkerProcess:
    """A real `beacon worker` over the fleet file of `folder`, with further options."""

    def __init__(self, folder: Path, url: str, *options: str) -> None:
        environment = {**os.environ, "BEACON_DATABASE_URL": url}
        self._said = (folder / "workers.log").open("ab")
        command = [sys.executable, "-m", "beacon.cli.main", "worker", "--fleet", "fleet.yaml", *options]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=self._said
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        self._process.wait()
        self._said.close()


class Chaos:
    def __init__(self, plan: Plan, folder: Path, database: Database, lab: Lab) -> None:
        self._plan = plan
        self._folder = folder
        self._database = database
        self._lab = lab
        self._rng = random.Random(plan.seed)
        self._workers: list[WorkerProcess] = []
        self._stopped: dict[int, float] = {}
        self._ids: list[str] = []
        self._watching: set[asyncio.Task[None]] = set()
        self._takeovers: list[float] = []
        self._stops = self._fenced = 0

    async def run(self) -> Outcome:
        self._workers = [self._start() for _ in range(self._plan.workers)]
        try:
            for blow in range(1, self._plan.kills + 1):
                await self._keep_jobs_open()
                await self._until_driven()
                await asyncio.sleep(self._rng.uniform(*PAUSE_S))
                if blow % self._plan.stop_every == 0:
                    await self._stop_one()
                await self._kill_one()
                self._tend()
            await self._until_over()
        finally:
            for worker in self._workers:
                worker.send(signal.SIGCONT)
                worker.end(signal.SIGTERM)
        for task in self._watching:
            task.cancel()
        return await self._counted()

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._folder, self._database.url, "--concurrency", "3")

    async def _keep_jobs_open(self) -> None:
        for _ in range(JOBS_OPEN - sum(not job.over for job in await self._found())):
            spec = _spec(self._rng.randrange(2**31), self._plan.repeats)
            job_id, _ = await submit(self._database, spec, self._lab.fleet, SystemClock())
            self._ids.append(job_id)

    async def _found(self) -> list[Job]:
        return [await self._database.read(jobs.get, job_id) for job_id in self._ids]

    async def _until_driven(self) -> None:
        """Workers take seconds to start: a blow that hits nobody at work would prove nothing."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UP_S):
                while not any([await self._database.read(held_by, worker.pid) for worker in self._running()]):
                    self._tend()
                    await self._keep_jobs_open()
                    await asyncio.sleep(0.1)

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.pid not in self._stopped]

    async def _one_at_work(self) -> tuple[WorkerProcess, dict[tuple[str, int], int]]:
        """A worker that drives something, where there is one, and what it holds."""
        held = {worker: await self._database.read(held_by, worker.pid) for worker in self._running()}
        victim = self._rng.choice([worker for worker in held if held[worker]] or list(held))
        return victim, held[victim]

    async def _kill_one(self) -> None:
        victim, held = await self._one_at_work()
        victim.end(signal.SIGKILL)
        self._watch_takeover(held)
        self._workers.remove(victim)
        self._workers.append(self._start())

    async def _stop_one(self) -> None:
        if len(self._running()) < 2:
            return
        victim, held = await self._one_at_work()
        victim.send(signal.SIGSTOP)
        self._stopped[victim.pid] = time.monotonic() + self._plan.stop_s
        self._stops += 1
        self._watch_takeover(held)

    def _tend(self) -> None:
        """Lets those go on that stood still for long enough, and starts anew what ended by itself."""
        now = time.monotonic()
        for worker in list(self._workers):
            if self._stopped.get(worker.pid, now + 1) <= now:
                worker.send(signal.SIGCONT)
                del self._stopped[worker.pid]
            if worker.exit_code is not None:
                self._fenced += worker.exit_code == 75
                worker.end(signal.SIGKILL)
                self._workers.remove(worker)
                self._workers.append(self._start())

    def _watch_takeover(self, held: dict[tuple[str, int], int]) -> None:
        if held:
            self._watching.add(asyncio.create_task(self._time_takeover(held)))

    async def _time_takeover(self, held: dict[tuple[str, int], int]) -> None:
        """Time in which no other worker was up does not count: nobody could have taken anything over."""
        took, since = 0.0, time.monotonic()
        while not await self._database.read(all_taken, held):
            await asyncio.sleep(0.1)
            up = await self._database.read(_up, [worker.pid for worker in self._running()])
            now = time.monotonic()
            took, since = took + (now - since if up else 0.0), now
        self._takeovers.append(took)

    async def _until_over(self) -> None:
        """Raises TimeoutError where nothing moves any more."""
        seen, moved_at = -1, time.monotonic()
        while not all(job.over for job in await self._found()):
            moves = sum(job.seq for job in await self._found())
            if moves != seen:
                seen, moved_at = moves, time.monotonic()
            elif time.monotonic() - moved_at > STUCK_S:
                raise TimeoutError(f"nothing has moved for {STUCK_S:.0f} s")
            self._tend()
            await asyncio.sleep(0.2)
        while self._stopped:
            self._tend()
            await asyncio.sleep(0.2)

    async def _counted(self) -> Outcome:
        sent = await self._lab.key_counts()
        broken = await self._database.read(_broken, self._ids, sent)
        total = sum(job.total for job in await self._found())
        return Outcome(
            broken, len(self._ids), total, self._plan.kills, self._stops, sorted(self._takeovers), self._fenced
        )


def held_by(connection: sa.Connection, pid: int) -> dict[tuple[str, int], int]:
    """Unfinished shards that a process drives, by job and number, with their epochs."""
    query = sa.select(shards.c.job_id, shards.c.number, shards.c.epoch).where(
        shards.c.owner.contains(f"|{pid}|"), shards.c.done < shards.c.size
    )
    return {(row.job_id, row.number): row.epoch for row in connection.execute(query)}


def _up(connection: sa.Connection, pids: list[int]) -> bool:
    """Whether one of these processes has announced itself as a worker."""
    owners = connection.scalars(sa.select(workers.c.owner))
    return any(int(owner.split("|")[1]) in pids for owner in owners)


def all_taken(connection: sa.Connection, held: dict[tuple[str, int], int]) -> bool:
    """Whether each shard has a new owner, or is done."""
    for (job_id, number), epoch in held.items():
        this = sa.and_(shards.c.job_id == job_id, shards.c.number == number)
        row = connection.execute(sa.select(shards.c.epoch, shards.c.done, shards.c.size).where(this)).one()
        if row.epoch == epoch and row.done < row.size:
            return False
    return True


def _broken(connection: sa.Connection, ids: list[str], sent: dict[str, int]) -> dict[str, int]:
    e, r = executions.c, results.c
    over = [status.value for status in TERMINAL]
    counts: dict[str, Any] = {}
    counts["executions without an outcome"] = connection.scalar(
        sa.select(sa.func.count()).where(e.job_id.in_(ids), e.status.not_in(over))
    )
    joined = sa.outerjoin(executions, results, e.id == r.execution_id)
    counts["completed without a result"] = connection.scalar(
        sa.select(sa.func.count()).select_from(joined).where(e.status == "completed", r.execution_id.is_(None))
    )
    counts["results without completion"] = connection.scalar(
        sa.select(sa.func.count()).select_from(joined).where(e.status != "completed", r.execution_id.is_not(None))
    )
    counts["jobs not closed exactly once"] = sum(_closed(connection, job_id) != 1 for job_id in ids)
    counts["jobs closed early"] = sum(_closed_early(connection, job_id) for job_id in ids)
    counts["events lost or doubled"] = sum(_event_gaps(connection, job_id) for job_id in ids)
    counts["counts that differ from the rows"] = sum(_miscounted(connection, job_id) for job_id in ids)
    counts["keys sent twice"] = sum(times > 1 for times in sent.values())
    written = set(connection.scalars(sa.select(attempts.c.id)))
    counts["sent without write-ahead"] = len(set(sent) - written)
    return {name: int(count or 0) for name, count in counts.items()}


def _closed(connection: sa.Connection, job_id: str) -> int:
    """How often the job was told to be over."""
    texts = connection.scalars(
        sa.select(events.c.data_json).where(events.c.job_id == job_id, events.c.kind == "status")
    )
    return sum(json.loads(text)["what"] in ("completed", "cancelled", "failed") for text in texts)


def _closed_early(connection: sa.Connection, job_id: str) -> bool:
    job = jobs.get(connection, job_id)
    last = connection.scalar(sa.select(sa.func.max(executions.c.persisted_at)).where(executions.c.job_id == job_id))
    return job.finalizing_at is None or last is None or last > job.finalizing_at


def _event_gaps(connection: sa.Connection, job_id: str) -> int:
    seqs = connection.scalars(sa.select(events.c.seq).where(events.c.job_id == job_id).order_by(events.c.seq)).all()
    expected = range(1, jobs.get(connection, job_id).seq + 1)
    return len(set(expected) ^ set(seqs)) + len(seqs) - len(set(seqs))


def _miscounted(connection: sa.Connection, job_id: str) -> bool:
    query = sa.select(executions.c.status, sa.func.count()).where(executions.c.job_id == job_id)
    rows = {row[0]: row[1] for row in connection.execute(query.group_by(executions.c.status))}
    job = jobs.get(connection, job_id)
    return any(job.counts[status] != rows.get(status, 0) for status in job.counts if status != "total")


def _spec(seed: int, repeats: int) -> JobSpec:
    return JobSpec.model_validate(
        {
            "schema": "beacon.job/v1",
            "name": "Chaos",
            "questions": [{"id": f"q{n}", "text": f"What is {n} plus {n}?"} for n in range(20)],
            "models": ["llama3.2-1b", "mistral-7b"],
            "regions": ["us", "eu", "apac"],
            "repeats": repeats,
            "seed": seed,
            "limits": {"execution_deadline": "300s", "max_attempts": 5},
        }
    )


@asynccontextmanager
async def _lab(folder: Path) -> AsyncIterator[Lab]:
    async with start_lab() as lab:
        document = yaml.safe_load(lab.fleet_yaml())
        for provider in document["providers"]:
            provider.update(concurrency=4)
        (folder / "fleet.yaml").write_text(yaml.safe_dump(document))
        yield lab


async def chaos(plan: Plan, url: str, folder: Path) -> Outcome:
    """`url` names a PostgreSQL database; `folder` takes the fleet and what the workers say."""
    database = await open_database(url)
    try:
        async with _lab(folder) as lab:
            return await Chaos(plan, folder, database, lab).run()
    finally:
        await database.close()


def told(outcome: Outcome) -> str:
    lines = [f"{outcome.jobs} jobs, {outcome.executions} executions, {outcome.kills} kills, {outcome.stops} stops"]
    lines += [f"  {count:6d}  {name}" for name, count in outcome.broken.items()]
    if outcome.takeovers_s:
        middle, last = outcome.takeovers_s[len(outcome.takeovers_s) // 2], outcome.takeovers_s[-1]
        lines.append(
            f"takeover: median {middle:.1f} s, longest {last:.1f} s; {outcome.fenced} workers ended fenced (75)"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--stop-s", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stop-every", type=int, default=STOP_EVERY, help="each n-th blow stops a worker too")
    parser.add_argument("--database", help="a PostgreSQL database to use; default a server of its own")
    given = parser.parse_args()
    plan = Plan(given.kills, given.workers, given.stop_s, given.seed, stop_every=given.stop_every)
    with postgres(given.database) as url, tempfile.TemporaryDirectory(prefix="beacon-chaos-") as folder:
        outcome = asyncio.run(chaos(plan, url, Path(folder)))
    print(told(outcome))
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    sys.exit(main())
