"""What the API says, as types: jobs, executions, attempts, and pages of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from beacon.domain.states import ExecutionStatus, JobStatus, Verdict
from beacon.store.group_items import CHOSEN
from beacon.store.jobs import Job
from beacon.store.workers import Unserved

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """`next_cursor` gives the following page; it is null on the last one."""

    items: list[T]
    next_cursor: str | None = None


class JobOut(BaseModel):
    """A job as the database has it at `seq`; moments are seconds since the epoch.

    `cost_usd` is null where the cost of any answer is unknown; `cost_known_usd` is what is known of it.
    """

    id: str
    name: str
    status: JobStatus
    verdict: Verdict | None
    error: str | None
    generation: int
    seq: int
    counts: dict[str, int]
    done: int
    simulated: bool
    replayed: bool
    cost_usd: float | None
    cost_known_usd: float
    cost_unknown: int
    stop_kind: str | None
    finalize_step: str | None
    created_at: float
    started_at: float | None
    finalizing_at: float | None
    completed_at: float | None
    barrier_gap_ms: float | None
    finalizing_ms: float | None


def job_out(job: Job) -> JobOut:
    plain = {name: getattr(job, name) for name in JobOut.model_fields if hasattr(job, name)}
    cost = None if job.cost_unknown else job.cost_usd
    return JobOut.model_validate(plain | {"cost_usd": cost, "cost_known_usd": job.cost_usd})


def known_cost(job: Job) -> float | None:
    """Dollars, or None where no answer's cost is known (invariant unknown-is-not-zero)."""
    completed = job.counts[ExecutionStatus.COMPLETED.value]
    return None if job.cost_unknown and job.cost_unknown >= completed else job.cost_usd


class ExecutionOut(BaseModel):
    """One execution with its result and label; moments are seconds since the epoch, durations milliseconds."""

    id: str
    job_id: str
    ordinal: int
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: ExecutionStatus
    kind: str | None
    stage: str | None
    error: str | None
    attempts: int
    provider: str | None
    answer: str | None
    finish_reason: str | None
    retracted: bool | None
    label: str | None
    score: float | None
    reason: str | None
    label_source: str | None
    disputed: bool
    flags: list[str]
    model_echoed: str | None
    region_stated: str | None
    region_evidence: str | None
    upstream: str | None
    simulated: bool | None
    replayed: bool | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    duration_ms: float | None
    queued_at: float | None
    started_at: float | None
    first_token_at: float | None
    finished_at: float | None
    persisted_at: float | None
    served_at: float | None


def execution_out(row: dict[str, Any]) -> ExecutionOut:
    flags = [flag for flag in (row["flags"] or "").split(",") if flag]
    return ExecutionOut.model_validate(row | {"flags": flags, "label_source": row["source"]})


class AttemptOut(BaseModel):
    """One try. `stages_ms` says where its time went, `chosen` why its provider was where there was a choice; `kept` is
    an answer that is no result."""

    id: str
    number: int
    provider: str
    status: str
    kind: str | None
    stage: str | None
    error: str | None
    counts: bool
    written_at: float
    started_at: float | None
    finished_at: float | None
    stages_ms: dict[str, float] | None
    chosen: str | None
    kept: Any | None


def attempt_out(row: dict[str, Any]) -> AttemptOut:
    stages = _json(row["stages_json"])
    chosen = None if stages is None else stages.pop(CHOSEN, None)
    parsed = {"stages_ms": stages, "chosen": chosen, "kept": _json(row["kept_json"])}
    return AttemptOut.model_validate(row | parsed)


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


class ExecutionDetail(ExecutionOut):
    attempts_made: list[AttemptOut]


class CancelOut(BaseModel):
    """`asked` is false where the job is past stopping, or was asked to stop before."""

    asked: bool
    job: JobOut


class RetryIn(BaseModel):
    """What to retry: everything that failed, one `kind`, or the named executions."""

    model_config = {"extra": "forbid"}

    kind: str | None = None
    execution_ids: list[str] = Field(default_factory=list, max_length=10_000)


class RetryOut(BaseModel):
    """How many executions were set to `retrying`, and the generation they belong to."""

    count: int
    generation: int


class Health(BaseModel):
    status: str


class WaitingRegion(BaseModel):
    """Open executions, of so many jobs, that wait for a worker of their region."""

    region: str
    jobs: int
    executions: int
    why: str
    todo: str


class Readiness(Health):
    """`waits` takes no server out of service: it tells what the workers that live cannot do."""

    waits: list[WaitingRegion]


def waiting_regions(found: Sequence[Unserved]) -> list[WaitingRegion]:
    """By region, without a job's name: whoever reaches the server may read it."""
    by_region: dict[str, list[Unserved]] = {}
    for one in found:
        by_region.setdefault(one.region, []).append(one)
    return [
        WaitingRegion(
            region=region,
            jobs=len(some),
            executions=sum(one.executions for one in some),
            why=some[0].why,
            todo=some[0].todo,
        )
        for region, some in by_region.items()
    ]
