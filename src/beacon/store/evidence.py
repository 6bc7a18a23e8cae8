"""Evidence: what receipts are made of, the receipts themselves, and the seal that closes a job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, insert, select

from beacon.domain.states import JobStatus, Verdict
from beacon.errors import NotFoundError
from beacon.store import ledger, reports
from beacon.store.executions import best_source
from beacon.store.tables import attempts, executions, jobs, labels, receipts, results, seals

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Facts:
    """One execution as it ended: the rows that its receipt is made of, already under the receipt's names.

    `attempt_key` is the attempt that gave the result, else the newest. `label` is the one that reports count.
    """

    ordinal: int
    execution_id: str
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: str
    failure_kind: str | None
    failure_stage: str | None
    attempts: int
    attempt_key: str | None
    provider: str | None
    queued_at: float
    started_at: float | None
    first_token_at: float | None
    finished_at: float | None
    persisted_at: float | None
    duration_ms: float | None
    answer: str | None
    finish_reason: str | None
    retracted: bool
    upstream: str | None
    model_echoed: str | None
    region_stated: str | None
    region_evidence: str
    simulated: bool
    replayed: bool
    label: str | None


_NEWEST = and_(attempts.c.execution_id == executions.c.id, attempts.c.number == executions.c.attempts)
_COUNTED_LABEL = and_(labels.c.execution_id == results.c.execution_id, labels.c.source == best_source())
_COMPLETED = results.c.execution_id.is_not(None)
_RENAMED: dict[str, Any] = {
    "execution_id": executions.c.id,
    "failure_kind": executions.c.kind,
    "failure_stage": executions.c.stage,
    "attempt_key": func.coalesce(results.c.attempt_id, attempts.c.id),
    "provider": func.coalesce(results.c.provider, executions.c.provider),
    "retracted": case((_COMPLETED, results.c.retracted), else_=False),
    "region_evidence": func.coalesce(results.c.region_evidence, "unknown"),
    "simulated": case((_COMPLETED, results.c.simulated), else_=False),
    "replayed": case((_COMPLETED, results.c.replayed), else_=False),
    "label": labels.c.label,
}


def _column(name: str) -> Any:
    found = _RENAMED.get(name)
    if found is None:
        found = executions.c[name] if name in executions.c else results.c[name]
    return found.label(f"of_{name}")


_FACTS = select(*map(_column, Facts.__dataclass_fields__)).select_from(
    executions.outerjoin(results, results.c.execution_id == executions.c.id)
    .outerjoin(attempts, _NEWEST)
    .outerjoin(labels, _COUNTED_LABEL)
)


def facts(connection: Connection, job_id: str, *, after: int = -1, limit: int = PAGE) -> list[Facts]:
    """Executions after the ordinal `after`, in order."""
    mine = and_(executions.c.job_id == job_id, executions.c.ordinal > after)
    return [Facts(*row) for row in connection.execute(_FACTS.where(mine).order_by(executions.c.ordinal).limit(limit))]


def submitted_spec(connection: Connection, job_id: str) -> tuple[str, str]:
    """The job's spec as JSON, and its digest from when it was submitted. Raises NotFoundError."""
    row = connection.execute(select(jobs.c.spec_json, jobs.c.spec_sha256).where(jobs.c.id == job_id)).first()
    if row is None:
        raise NotFoundError(f"no job {job_id!r}")
    return row.spec_json, row.spec_sha256


def begin_sealing(connection: Connection, job_id: str, generation: int, now: float) -> None:
    """The step's beginning; receipts that an interrupted one left behind are removed."""
    ledger.lock_job(connection, job_id)
    if _may_be_sealed(connection, job_id, generation):
        whose = select(executions.c.id).where(executions.c.job_id == job_id)
        left = and_(receipts.c.generation == generation, receipts.c.execution_id.in_(whose))
        connection.execute(delete(receipts).where(left))
        reports.step(connection, job_id, "sealing", now)


def add_receipts(
    connection: Connection, job_id: str, generation: int, lines: Sequence[tuple[str, str]], told: str, now: float
) -> None:
    """Stores (execution id, receipt as canonical JSON), and says how far sealing has come."""
    ledger.lock_job(connection, job_id)
    if _may_be_sealed(connection, job_id, generation):
        rows = [{"execution_id": own_id, "generation": generation, "document_json": line} for own_id, line in lines]
        connection.execute(insert(receipts), rows)
        reports.step(connection, job_id, told, now)


@dataclass(frozen=True, slots=True)
class SealRow:
    """A job's seal as it is stored: the envelope, its proof from the log, and the version of the sealed report."""

    generation: int
    envelope: str
    proof: str
    report_version: int


def close_sealed(
    connection: Connection, job_id: str, seal: SealRow, status: JobStatus, verdict: Verdict, now: float
) -> None:
    """Stores the seal and closes the job in one transaction: a job is completed exactly when it is sealed."""
    ledger.lock_job(connection, job_id)
    if _may_be_sealed(connection, job_id, seal.generation):
        document = {"envelope": seal.envelope, "proof": seal.proof, "report_version": seal.report_version}
        values = {"job_id": job_id, "generation": seal.generation, "created_at": now}
        connection.execute(insert(seals).values(**values, document_json=json.dumps(document)))
        reports.finish_job(connection, job_id, status, verdict, now)


def _may_be_sealed(connection: Connection, job_id: str, generation: int) -> bool:
    """False for a finalizer that was overtaken: what another one sealed is not touched again."""
    query = select(jobs.c.status, jobs.c.generation).where(jobs.c.id == job_id)
    return connection.execute(query).one() == (JobStatus.FINALIZING.value, generation)


def seal_of(connection: Connection, job_id: str, generation: int | None = None) -> SealRow:
    """The newest seal, or the one of `generation`; raises NotFoundError."""
    query = select(seals.c.generation, seals.c.document_json).where(seals.c.job_id == job_id)
    if generation is not None:
        query = query.where(seals.c.generation == generation)
    row = connection.execute(query.order_by(seals.c.generation.desc()).limit(1)).first()
    if row is None:
        which = "no seal yet" if generation is None else f"no seal of generation {generation}"
        todo = "a job is sealed when it closes; `beacon show JOB` shows where it stands"
        raise NotFoundError(f"job {job_id} has {which}", todo=todo)
    return SealRow(row.generation, **json.loads(row.document_json))


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A receipt as it is stored, beside the result that the execution has now."""

    ordinal: int
    execution_id: str
    receipt: str
    answer: str | None
    finish_reason: str | None
    retracted: bool | None


def sealed_rows(
    connection: Connection, job_id: str, generation: int, *, after: int = -1, limit: int = PAGE
) -> list[SealedRow]:
    """Receipts of one generation after the ordinal `after`, in order."""
    query = (
        select(
            executions.c.ordinal,
            executions.c.id,
            receipts.c.document_json,
            results.c.answer,
            results.c.finish_reason,
            results.c.retracted,
        )
        .join(receipts, and_(receipts.c.execution_id == executions.c.id, receipts.c.generation == generation))
        .outerjoin(results, results.c.execution_id == executions.c.id)
        .where(executions.c.job_id == job_id, executions.c.ordinal > after)
        .order_by(executions.c.ordinal)
        .limit(limit)
    )
    return [SealedRow(*row) for row in connection.execute(query)]
