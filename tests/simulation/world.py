"""One seed, run: processes that drive its jobs and die, people who interfere, and the history of it all."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from beacon.domain import plan
from beacon.errors import BeaconError, ConflictError
from beacon.router import changes
from beacon.router.router import Router
from beacon.router.transports import agent, openai
from beacon.runner import admission, classification, pausing, presence, runner
from beacon.runner.admission import submit
from beacon.runner.runner import Runner
from beacon.store import interventions, pauses
from beacon.store.executions import Filter
from beacon.store.group import Finish
from tests.simulation import providers
from tests.simulation.analyst import SimulatedAnalyst
from tests.simulation.network import Request, Session, SimulatedPoster
from tests.simulation.processes import CURRENT, Process, ProcessLoop
from tests.simulation.providers import Run, Server
from tests.simulation.scenario import FAULTS_END_S, PlannedJob, PlannedPause, Rates, Scenario
from tests.simulation.storage import Disk, Storage
from tests.simulation.virtual import EPOCH, JumpingClock

WATCH_S = 1.0
FOLLOW_S = 3.0
"""In the place of the runner's own, which would have it look too often for a simulation."""
GIVEN_UP_S = FAULTS_END_S + 300.0
"""A job that is not over by then is stuck: everything has worked for five minutes."""
OVER = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Send:
    """A request with an inference that left a process."""

    key: str
    provider: str
    process: str
    at: float
    keeps_results: bool


@dataclass(frozen=True)
class Delivery:
    """An answer of which the last byte was read."""

    run: Run
    process: str
    at: float


@dataclass(frozen=True)
class Pause:
    """A provider or a region that an operator paused, and from when until when."""

    name: str
    since: float
    until: float


@lru_cache(maxsize=1)
def the_disk() -> Disk:
    disk = Disk()
    # What is there by now stays: it need not be looked through after every seed.
    gc.freeze()
    return disk


class World:
    """`favour` names a trouble that the seed is to have, which chance brings about too rarely: see `Scenario`."""

    def __init__(self, seed: int, favour: str | None = None) -> None:
        self.scenario = Scenario(seed, favour)
        self.loop = ProcessLoop()
        self.clock = JumpingClock(self.loop)
        self.disk = the_disk()
        self.history: list[str] = []
        self.violations: list[str] = []
        self.sends: list[Send] = []
        self.deliveries: list[Delivery] = []
        self.asked: set[tuple[str, str, str]] = set()
        self.troubles: defaultdict[str, list[float]] = defaultdict(list)
        self.stops: defaultdict[str, list[float]] = defaultdict(list)
        self.settled: set[str] = set()
        self.audited_at: dict[int, float] = {}
        self.writers: dict[str, str] = {}
        self.pauses: list[Pause] = []
        self.processes: dict[str, Process] = {}
        self._rng = random.Random(f"world/{seed}")
        self._calm = Rates(**dict.fromkeys(Rates.__dataclass_fields__, 0.0))
        self._names = iter(range(10_000))
        self._audited = 0
        self.servers = {f"{p.name}.invalid": providers.build(p, self) for p in self.scenario.fleet.providers}

    def run(self) -> None:
        """Runs the seed to its end. Raises nothing for what goes wrong in it; the checker finds that."""
        self.disk.wipe()
        # Collected at some moment of its own, what a dead process left would come to itself and be closed.
        gc.disable()
        try:
            with self._seams():
                main = self.loop.in_world(self._main())
                try:
                    self.loop.run_until_complete(main)
                finally:
                    for process in self.processes.values():
                        process.runner = process.router = None
                    self.loop.bury()
        finally:
            gc.enable()

    @contextmanager
    def _seams(self) -> Iterator[None]:
        """All that stands between Beacon and the machine that it runs on."""
        waits = {"WATCH_S": WATCH_S, "IDLE_S": 2.0, "FOLLOW_S": FOLLOW_S}
        with ExitStack() as stack:
            for owner, name, put in (
                (openai, "open_session", lambda _headers: Session(self)),
                (openai, "Poster", lambda url, _headers, _now: SimulatedPoster(self, url)),
                (agent, "open_session", lambda _headers: Session(self)),
                (runner, "new_owner", self._new_owner),
                (runner, "is_dead", self._is_dead),
                (runner, "log", self._log()),
                (classification, "log", self._log()),
                (pausing, "log", self._log()),
                (changes, "log", self._log()),
                (classification, "PAUSE_S", 5.0),
                (presence, "log", self._log()),
                (admission, "new_job_id", partial(self._new_job_id)),
                (admission, "shards", partial(plan.shards, size=self.scenario.shard_size)),
                (admission, "SHARDS_PER_COMMIT", 2),
                (runner, "SHARDS_AT_ONCE", 2),
                *((runner, name, value) for name, value in waits.items()),
            ):
                stack.enter_context(patch.object(owner, name, put))
            yield

    def _log(self) -> Any:
        def told(what: str, **more: Any) -> None:
            self.tell("log", what, more.get("job"), more.get("why"))

        return SimpleNamespace(warning=told, error=told, info=told)

    def _new_job_id(self) -> str:
        return f"job{next(self._names):02d}"

    def _new_owner(self) -> str:
        process = CURRENT.get()
        assert process is not None
        return process.name

    def _is_dead(self, owner: str) -> bool:
        """As between processes of one host: at once. Of another host nothing is known."""
        asking = CURRENT.get()
        asked = self.processes.get(owner)
        return asking is not None and asked is not None and asked.gone and asked.host == asking.host

    # What happens, as it is told and remembered

    @property
    def now(self) -> float:
        return self.loop.time()

    @property
    def rates(self) -> Rates:
        return self.scenario.rates if self.now < FAULTS_END_S else self._calm

    def tell(self, *words: object) -> None:
        self.history.append(f"{self.now:10.4f} {' '.join(str(word) for word in words if word is not None)}")

    def violate(self, kind: str, what: str) -> None:
        line = f"{kind}: {what}"
        if line not in self.violations:
            self.violations.append(line)
            self.tell("VIOLATION", line)

    @property
    def jumps(self) -> bool:
        """Whether the wall clock is set in this seed, so that its moments cannot be compared."""
        return bool(self.scenario.jumps)

    def monotonic(self, wall: float | None) -> float | None:
        """A moment of the database in virtual time."""
        return None if wall is None else wall - EPOCH

    def follow_audit(self, process: Process | None) -> None:
        for row in self.disk.rows("SELECT * FROM audit WHERE n > ? ORDER BY n", self._audited):
            self._audited = row["n"]
            self.audited_at[row["n"]] = self.now
            if row["what"] == "attempt" and process is not None:
                self.writers[row["id"]] = process.name
                if row["owner"] != process.name:
                    self.violate("unfenced", f"{process.name} wrote {row['id']}, whose shard {row['owner']} holds")
            self.tell("commit", row["what"], row["id"], row["before"], "->", row["after"], row["note"])
            if row["what"] == "stop":
                self.stops[row["id"]].append(self.now)

    def answers_are_stored(self, recorded: list[Any]) -> None:
        """Every answer that was handed in stands in the database from its commit on: as the result, or beside one."""
        for item in recorded:
            if isinstance(item, Finish) and item.answer is not None and item.attempt_id is not None:
                (attempt,) = self.disk.rows("SELECT status, kept_json FROM attempts WHERE id = ?", item.attempt_id)
                if attempt["status"] != "answered" and not attempt["kept_json"]:
                    self.violate("lost", f"the answer to {item.attempt_id} was handed in and is {attempt['status']}")

    def database_fails(self, rng: random.Random) -> bool:
        if rng.random() < self.rates.database:
            self.troubles["database"].append(self.now)
            return True
        return False

    def record_send(self, server: Server, request: Request) -> None:
        assert request.key is not None
        assert request.sender is not None
        keeps = server.provider.transport == "agent"
        self.sends.append(Send(request.key, server.provider.name, request.sender.name, self.now, keeps))
        self.tell("sent", request.sender.name, request.key, "to", server.provider.name)
        if not self.disk.rows("SELECT 1 FROM attempts WHERE id = ?", request.key):
            self.violate("write-ahead", f"{request.key} was sent and is no attempt of the database")

    def received(self, server: Server, key: str) -> None:
        if key in server.runs:
            self.violate("sent twice", f"{key} came twice to {server.provider.name}, which keeps no results")

    def record_delivery(self, run: Run, to: Process | None) -> None:
        if to is not None and not to.dead:
            self.deliveries.append(Delivery(run, to.name, self.now))
            self.tell("delivered", run.key, "to", to.name)

    def finalizing(self, process: Process, job_id: str) -> None:
        (job,) = self.disk.rows("SELECT finalizer, status FROM jobs WHERE id = ?", job_id)
        self.tell("finalizes", process.name, job_id)
        calm = not self.troubles["database"] and not any(p.was_frozen for p in self.processes.values())
        if calm and job["finalizer"] != process.name:
            self.violate("finalized twice", f"{process.name} finalizes {job_id}, which {job['finalizer']} holds")

    def digest(self, job_id: str) -> str:
        """What a report is made of."""
        rows = self.disk.raw.execute(
            "SELECT e.id, e.status, e.kind, r.answer FROM executions e LEFT JOIN results r ON r.execution_id = e.id "
            "WHERE e.job_id = ? ORDER BY e.id",
            (job_id,),
        ).fetchall()
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    def die(self, process: Process | None, where: str) -> None:
        if process is not None and not process.dead:
            self.tell("killed", process.name, where)
            self.troubles[process.name].append(self.now)
            self.loop.kill(process)

    # The course of it

    async def _main(self) -> None:
        fates = _Fates(self.scenario, self._rng)
        for number in range(self.scenario.hosts):
            host = "host0" if self.scenario.same_host else f"host{number}"
            self.loop.in_world(self._keep_running(f"p{number}", host, fates))
        for job in self.scenario.jobs:
            self.loop.in_world(self._interfere(job))
        for pause in self.scenario.pauses:
            self.loop.in_world(self._pause(pause))
        for moment, by in self.scenario.jumps:
            self.loop.call_later(moment, self._set_clock, by, context=self.loop.world)
        while self.now < GIVEN_UP_S and not self._all_over():
            await asyncio.sleep(1.0)
        for process in self.processes.values():
            # One that stood still may still wait for what others have long since asked anew.
            if not (process.gone or process.was_frozen) and self._all_over():
                self._check_slots(process)
            self.loop.kill(process)

    def _check_slots(self, process: Process) -> None:
        """Nothing is under way, so nothing may hold a slot."""
        for provider in process.router.snapshot() if process.router else ():
            if provider.in_flight:
                self.violate("leak", f"{process.name} has {provider.in_flight} slots of {provider.name} in use")

    def _all_over(self) -> bool:
        return len(self.settled) == len(self.scenario.jobs)

    async def _keep_running(self, name: str, host: str, fates: _Fates) -> None:
        """A host: its process is started again some time after it ended."""
        life = 0
        while True:
            life += 1
            process = Process(f"{name}.{life}", host)
            self.processes[process.name] = process
            faulty = self.now < FAULTS_END_S
            process.fuse = fates.next_kill() if faulty else None
            process.commits_left = fates.next_commit() if faulty else None
            self.tell("starts", process.name)
            self.loop.start(process, self._process(process))
            if faulty and fates.freezes > 0:
                fates.freezes -= 1
                self.loop.in_world(self._freeze(process))
            if faulty and fates.clean_stops > 0:
                fates.clean_stops -= 1
                self.loop.in_world(self._stop(process))
            await process.died.wait()
            self.troubles[process.name].append(self.now)
            self.tell("gone", process.name)
            await asyncio.sleep(self._rng.choice((0.1, 1.0, 8.0, 25.0)))

    async def _process(self, process: Process) -> None:
        rng = random.Random(f"runner/{self.scenario.seed}/{process.name}")
        storage = Storage(self, process)
        try:
            router = Router(self.scenario.fleet, base=Path("/"), environ={}, clock=self.clock, rng=rng)
            analyst: Any = SimulatedAnalyst(self, process)
            async with router, Runner(storage, router, self.clock, analyst=analyst, rng=rng) as own:
                process.runner, process.router = own, router
                await own.serve()
        except* BeaconError as group:
            self.tell("fails", process.name, *(type(error).__name__ for error in group.exceptions))
        except* Exception as group:  # noqa: BLE001 - the outermost frame of a simulated process
            if not process.dead:
                self.violate("fell", f"{process.name} fell over {_innermost(group)!r}")
        process.died.set()

    async def _freeze(self, process: Process) -> None:
        await asyncio.sleep(self._rng.uniform(1, 12))
        if process.gone or self.now >= FAULTS_END_S:
            return
        self.tell("frozen", process.name)
        self.loop.freeze(process)
        await asyncio.sleep(self._rng.choice((2.0, 20.0, 40.0)))
        self.tell("thawed", process.name)
        self.loop.thaw(process)

    async def _stop(self, process: Process) -> None:
        await asyncio.sleep(self._rng.uniform(1, 12))
        if process.runner is not None and not process.gone:
            self.tell("stops", process.name)
            self.troubles[process.name].append(self.now)
            process.runner.stop()

    async def _pause(self, planned: PlannedPause) -> None:
        """An operator pauses a provider or a region, and resumes it some time later."""
        people = Storage(self, None)
        await asyncio.sleep(planned.since_s)
        await people.write(pauses.pause, planned.name, "it is looked after", self.clock.wall())
        paused_at = self.now
        self.tell("paused", planned.name)
        await asyncio.sleep(planned.lasts_s)
        self.pauses.append(Pause(planned.name, paused_at, self.now))
        await people.write(pauses.resume, planned.name, self.clock.wall())
        self.tell("resumed", planned.name)

    def _set_clock(self, by: float) -> None:
        self.clock.offset += by
        self.tell("the clock is set", f"{by:+.1f}", "s")

    async def _interfere(self, job: PlannedJob) -> None:
        """Who submits a job, and what they do with it until they are content."""
        people = Storage(self, None)
        await asyncio.sleep(job.submitted_s)
        job_id, _ = await submit(people, job.spec, self.scenario.fleet, self.clock)
        if job.stopped_s is not None:
            await asyncio.sleep(job.stopped_s)
            await people.write(interventions.request_stop, job_id, job.stop_kind, self.clock.wall())
        reopened = job.reopened
        while True:
            await self._until_over(job_id)
            if self._status(job_id) == "failed":
                await people.write(interventions.finalize_again, job_id, self.clock.wall())
            elif reopened > 0:
                reopened -= 1
                await self._reopen(people, job_id)
            else:
                break
        self.settled.add(job_id)

    async def _reopen(self, people: Storage, job_id: str) -> None:
        try:
            opened = await people.write(interventions.reopen, job_id, Filter(), self.clock.wall())
            self.tell("retry", job_id, opened.count, "of generation", opened.generation)
        except ConflictError as error:
            self.tell("retry", job_id, error.what)

    async def _until_over(self, job_id: str) -> None:
        while self._status(job_id) not in OVER:
            await asyncio.sleep(self._rng.uniform(0.5, 2))

    def _status(self, job_id: str) -> str:
        status: str = self.disk.raw.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
        return status


class _Fates:
    """How many troubles a seed has in store, handed out to processes as they start."""

    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self._rng = rng
        self._by_step = scenario.kills_by_step
        self._at_commit = scenario.kills_at_commit
        self.freezes = scenario.freezes
        self.clean_stops = scenario.clean_stops

    def next_kill(self) -> int | None:
        if self._by_step == 0 or self._rng.random() < 0.3:
            return None
        self._by_step -= 1
        return int(10 ** self._rng.uniform(1.5, 4))

    def next_commit(self) -> int | None:
        if self._at_commit == 0 or self._rng.random() < 0.3:
            return None
        self._at_commit -= 1
        return self._rng.randint(1, 60)


def _innermost(error: BaseException) -> BaseException:
    return _innermost(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
