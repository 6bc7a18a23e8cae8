"""A job driven by hand through the store, as a runner would: what pages show is what is written here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from beacon.domain.answer import Answer
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind, terminal_status
from beacon.domain.fleet import Fleet
from beacon.domain.spec import JobSpec, SpecDocument, check_against_fleet
from beacon.domain.states import ExecutionStatus, JobStatus, Verdict
from beacon.runner.admission import admit, submit
from beacon.runner.inputs import complete
from beacon.store import executions, interventions, jobs, labelling, leases, pauses, reports
from beacon.store.database import Database
from beacon.store.executions import Filter, OpenExecution
from beacon.store.group import Finish, Recorded, Start, record_group
from beacon.store.labelling import Label
from beacon.web.actions import Retried, Submitted

CLOCK = SystemClock()
FLEET = Fleet.model_validate(
    {
        "providers": [
            {
                "name": f"{region}-a",
                "region": region,
                "transport": "openai",
                "url": "http://127.0.0.1:1/v1",
                "models": ["alpha", "beta"],
            }
            for region in ("us", "eu", "apac")
        ]
    }
)


def make_spec(questions: int | list[dict[str, Any]] = 2, repeats: int = 2, **fields: Any) -> JobSpec:
    """2 questions x 2 models x 2 regions x 2 repeats, unless told otherwise."""
    if isinstance(questions, int):
        questions = [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(questions)]
    given = {
        "schema": "beacon.job/v1",
        "name": "A job",
        "questions": questions,
        "models": ["alpha", "beta"],
        "regions": ["us", "eu"],
        "repeats": repeats,
        "seed": 7,
    }
    return JobSpec.model_validate(given | fields)


@dataclass
class Work:
    """An execution that a shard of this scene holds, and how many attempts it has had."""

    shard: leases.Shard
    execution: OpenExecution
    attempts: int = 0

    @property
    def id(self) -> str:
        return self.execution.id


def answer(text: str = "An answer.", **fields: Any) -> Answer:
    base = Answer(
        text=text,
        finish_reason="stop",
        provider="us-a",
        model_echoed="alpha",
        region_stated=None,
        region_evidence="declared",
        upstream=None,
        input_tokens=12,
        output_tokens=48,
        cost_usd=0.0004,
        simulated=True,
        replayed=False,
        started_at=0.0,
        first_token_at=None,
        finished_at=0.0,
        duration_ms=1_200.0,
        stages_ms={"queue": 30.0, "route": 0.4, "connect": 12.0, "inference": 1_150.0},
    )
    return replace(base, **fields)


@dataclass
class Scene:
    """`works` holds every execution of the job, in the order of dispatch."""

    database: Database
    job_id: str
    works: list[Work] = field(default_factory=list)

    @classmethod
    async def begin(cls, database: Database, spec: JobSpec, now: float | None = None) -> Scene:
        job_id, _ = await submit(database, spec, FLEET, CLOCK)
        await admit(database, job_id, CLOCK)
        await database.write(jobs.begin, job_id, now or CLOCK.wall())
        scene = cls(database, job_id)
        await scene.take_shards(spec)
        return scene

    async def take_shards(self, spec: JobSpec) -> None:
        for region in spec.regions:
            taken = (self.job_id, region, "a test", CLOCK.wall(), CLOCK.wall() + 600)
            while shard := await self.database.write(leases.take_shard, *taken):
                found = await self.database.read(executions.open_in_shard, self.job_id, shard.number)
                self.works += [Work(shard, execution) for execution in found]
        self.works.sort(key=lambda work: work.id)

    async def start(self, works: Sequence[Work]) -> Recorded:
        now = CLOCK.wall()
        starts = []
        for work in works:
            work.attempts += 1
            attempt = f"{work.id}.{work.attempts}"
            provider = f"{work.execution.region}-a"
            shard = work.shard
            starts.append(Start(work.id, attempt, work.attempts, shard.number, shard.epoch, provider, now, now + 300))
        return await self.database.write(record_group, self.job_id, starts, [], now)

    async def answer(self, works: Sequence[Work], text: str = "An answer.", **fields: Any) -> Recorded:
        now = CLOCK.wall()
        said = answer(text, **fields)
        finishes = [
            self._finish(work, ExecutionStatus.COMPLETED, now, answer=said, attempt_status="answered") for work in works
        ]
        return await self.database.write(record_group, self.job_id, [], finishes, now)

    async def fail(
        self, works: Sequence[Work], kind: FailureKind = FailureKind.PROVIDER_ERROR, error: str = "It said no."
    ) -> Recorded:
        now = CLOCK.wall()
        failed = {"attempt_status": "failed", "kind": kind.value, "stage": "inference", "error": error}
        finishes = [self._finish(work, terminal_status(kind), now, **failed) for work in works]
        return await self.database.write(record_group, self.job_id, [], finishes, now)

    async def owe(self, works: Sequence[Work], error: str = "It was busy.") -> Recorded:
        """An attempt failed and another is owed."""
        now = CLOCK.wall()
        failed = {"attempt_status": "failed", "kind": "rate_limited", "stage": "inference", "error": error}
        finishes = [self._finish(work, ExecutionStatus.RETRYING, now, **failed) for work in works]
        return await self.database.write(record_group, self.job_id, [], finishes, now)

    def _finish(self, work: Work, status: ExecutionStatus, now: float, **fields: Any) -> Finish:
        said: Answer | None = fields.get("answer")
        stages = said.stages_ms if said else {"queue": 30.0, "route": 0.4, "connect": 12.0, "inference": 1_500.0}
        duration = said.duration_ms if said else 1_542.4
        return Finish(
            work.id,
            f"{work.id}.{work.attempts}",
            work.attempts,
            work.shard.number,
            status,
            finished_at=now,
            started_at=now - duration / 1000,
            duration_ms=duration,
            provider=f"{work.execution.region}-a",
            stages_ms=stages,
            **fields,
        )

    async def run(self, works: Sequence[Work], text: str = "An answer.", **fields: Any) -> Recorded:
        await self.start(works)
        return await self.answer(works, text, **fields)

    async def label(self, works: Sequence[Work], label: str, reason: str = "a rule", score: float = 0.9) -> None:
        now = CLOCK.wall()
        rows = [Label(work.id, labelling.MACHINE, label, score, reason, "", now) for work in works]
        await self.database.write(labelling.write, rows)

    async def step(self, told: str) -> None:
        await self.database.write(reports.step, self.job_id, told, CLOCK.wall())

    async def finish(self, document: dict[str, Any] | None = None, verdict: Verdict = Verdict.MET) -> None:
        """finalizing -> completed, with a report."""
        now = CLOCK.wall()
        method = "beacon.analysis/v1"
        await self.database.write(reports.add_report, self.job_id, method, document or {"findings": []}, now)
        await self.database.write(reports.finish_job, self.job_id, JobStatus.COMPLETED, verdict, now)


class StoreActions:
    """Actions over the store alone: what they reopen or stop, nobody drives."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.prewarmed: list[str] = []
        self.paused: dict[str, str] = {}

    async def submit(self, document: SpecDocument, idempotency_key: str | None) -> Submitted:
        spec = complete(document, "the job spec", idempotency_key=idempotency_key)
        check_against_fleet(spec, FLEET, "the job spec")
        job_id, new = await submit(self.database, spec, FLEET, CLOCK, idempotency_key)
        await admit(self.database, job_id, CLOCK)
        return Submitted(job_id, new)

    async def cancel(self, job_id: str, why: str | None = None) -> bool:
        return await self.database.write(interventions.request_stop, job_id, "cancelled", CLOCK.wall(), why)

    async def end_stragglers(self, job_id: str, why: str | None = None) -> bool:
        return await self.database.write(interventions.request_stop, job_id, "straggler", CLOCK.wall(), why)

    async def prewarm(self, provider: str) -> None:
        self.prewarmed.append(provider)

    async def pause(self, name: str, why: str) -> None:
        await self.database.write(pauses.pause, name, why, CLOCK.wall())
        self.paused[name] = why

    async def resume(self, name: str) -> None:
        await self.database.write(pauses.resume, name, CLOCK.wall())
        self.paused.pop(name)

    async def retry(self, job_id: str, *, kind: str | None = None, execution_ids: Sequence[str] = ()) -> Retried:
        chosen = Filter(kinds=[kind] if kind else [])
        reopened = await self.database.write(interventions.reopen, job_id, chosen, CLOCK.wall(), execution_ids)
        return Retried(reopened.count, reopened.generation)
