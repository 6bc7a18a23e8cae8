"""Executions, their attempts and results: reading."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, ScalarSelect, Select, and_, case, func, select

from beacon.domain.failure import Stage
from beacon.domain.states import OPEN, TERMINAL, ExecutionStatus
from beacon.domain.value import value
from beacon.errors import NotFoundError
from beacon.store.bulk import read_rows
from beacon.store.tables import attempts, executions, labels, results

PAGE = 1_000


@value(frozen=True, slots=True)
class OpenExecution:
    """What a runner must know of an execution that is not terminal."""

    id: str
    shard: int
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: ExecutionStatus
    attempts: int
    counted: int
    provider: str | None
    queued_at: float
    deadline_at: float | None


_OPEN_COLUMNS = tuple(executions.c[name] for name in OpenExecution.__dataclass_fields__)
_STATUS_AT = [column.name for column in _OPEN_COLUMNS].index("status")


def open_in_shard(connection: Connection, job_id: str, shard: int) -> list[OpenExecution]:
    """In the order of dispatch."""
    query = select(executions.c.ordinal, *_OPEN_COLUMNS).where(
        executions.c.job_id == job_id,
        executions.c.shard == shard,
        executions.c.status.in_([status.value for status in OPEN]),
    )
    return [_open(row) for row in sorted(read_rows(connection, query))]


def open_cells(connection: Connection, job_id: str) -> list[tuple[str, str]]:
    """The (model, region) of which something is not terminal."""
    query = (
        select(executions.c.model, executions.c.region)
        .where(executions.c.job_id == job_id, executions.c.status.in_([status.value for status in OPEN]))
        .distinct()
    )
    return [(model, region) for model, region in connection.execute(query)]


def cold_starts(connection: Connection, job_id: str) -> dict[str, float]:
    """Seconds that executions waited for a cold start, over all of their attempts, by execution id."""
    query = (
        select(attempts.c.execution_id, attempts.c.stages_json)
        .select_from(attempts.join(executions, attempts.c.execution_id == executions.c.id))
        .where(executions.c.job_id == job_id, attempts.c.stages_json.contains(f'"{Stage.COLD_START.value}"'))
    )
    waited: dict[str, float] = {}
    for execution_id, stages in connection.execute(query):
        waited[execution_id] = waited.get(execution_id, 0.0) + json.loads(stages)[Stage.COLD_START.value] / 1000
    return waited


def references_in_shard(connection: Connection, job_id: str, shard: int) -> dict[str, dict[int, str]]:
    """How providers refer to attempts of the shard's open executions: by execution, then by attempt's number."""
    mine = and_(executions.c.job_id == job_id, executions.c.shard == shard)
    still_open = executions.c.status.in_([status.value for status in OPEN])
    query = (
        select(attempts.c.execution_id, attempts.c.number, attempts.c.call_id)
        .join(executions, executions.c.id == attempts.c.execution_id)
        .where(mine, still_open, attempts.c.call_id.is_not(None))
    )
    found: dict[str, dict[int, str]] = {}
    for execution_id, number, call_id in connection.execute(query):
        found.setdefault(execution_id, {})[number] = call_id
    return found


_STATUS = {status.value: status for status in ExecutionStatus}


def _open(row: Sequence[Any]) -> OpenExecution:
    _ordinal, *fields = row
    fields[_STATUS_AT] = _STATUS[fields[_STATUS_AT]]
    return OpenExecution(*fields)


_OF_EXECUTION = (
    *("id", "job_id", "ordinal", "question_id", "model", "region", "persona", "language", "repeat", "status"),
    *("kind", "stage", "error", "attempts", "provider", "queued_at", "started_at", "first_token_at"),
    *("finished_at", "persisted_at", "duration_ms", "deadline_at", "next_attempt_at"),
)
_OF_RESULT = (
    *("answer", "finish_reason", "retracted", "model_echoed", "region_stated", "region_evidence", "upstream"),
    *("input_tokens", "output_tokens", "cost_usd", "simulated", "replayed", "served_at"),
)
_SHOWN = (*(executions.c[name] for name in _OF_EXECUTION), *(results.c[name] for name in _OF_RESULT))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which executions of a job; an empty sequence means all."""

    statuses: Sequence[str] = ()
    models: Sequence[str] = ()
    regions: Sequence[str] = ()
    questions: Sequence[str] = ()
    kinds: Sequence[str] = ()

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        named = (
            (executions.c.status, self.statuses),
            (executions.c.model, self.models),
            (executions.c.region, self.regions),
            (executions.c.question_id, self.questions),
            (executions.c.kind, self.kinds),
        )
        for column, wanted in named:
            if wanted:
                yield column.in_(wanted)


def _with_results(job_id: str) -> Select[Any]:
    mine = and_(labels.c.execution_id == executions.c.id, labels.c.source == best_source())
    of_label = (labels.c.label, labels.c.score, labels.c.reason, labels.c.source, labels.c.flags, labels.c.version)
    return (
        select(*_SHOWN, *of_label, disputed().label("disputed"))
        .select_from(executions.outerjoin(results).outerjoin(labels, mine))
        .where(executions.c.job_id == job_id)
        .order_by(executions.c.ordinal)
    )


def best_source() -> ScalarSelect[str]:
    """The source whose label counts: a person before an import, before a judge, before the machine.

    Looked up for each execution that is shown; ranking all labels of the database first would take seconds.
    """
    given = labels.alias()
    ranked = select(given.c.source).where(given.c.execution_id == executions.c.id)
    return ranked.order_by(rank(given), given.c.source).limit(1).correlate(executions).scalar_subquery()


def disputed() -> ColumnElement[bool]:
    """Whether the sources that count disagree: two people, two imports or two judges. Nobody votes."""
    given, best = labels.alias(), labels.alias()
    highest = select(func.min(rank(best))).where(best.c.execution_id == executions.c.id).correlate(executions)
    said = select(func.count(given.c.label.distinct())).where(
        given.c.execution_id == executions.c.id, rank(given) == highest.scalar_subquery()
    )
    return said.correlate(executions).scalar_subquery() > 1


def rank(given: FromClause) -> ColumnElement[int]:
    """Whose word counts: that of the lowest number."""
    return case(
        (given.c.source.startswith("person"), 0),
        (given.c.source.startswith("import"), 1),
        (given.c.source.startswith("judge"), 2),
        else_=3,
    )


def page(
    connection: Connection, job_id: str, *, after: int = -1, limit: int = PAGE, chosen: Filter | None = None
) -> list[dict[str, Any]]:
    """Executions after the ordinal `after`, with result and label where there are any, in order."""
    query = _with_results(job_id).where(executions.c.ordinal > after).limit(limit)
    for condition in (chosen or Filter()).conditions():
        query = query.where(condition)
    return [dict(row) for row in connection.execute(query).mappings()]


def get(connection: Connection, execution_id: str) -> dict[str, Any]:
    """One execution as `page` gives it; raises NotFoundError."""
    job_id = connection.scalar(select(executions.c.job_id).where(executions.c.id == execution_id))
    if job_id is None:
        todo = "`beacon export JOB` and the portal show the ids of a job's executions, such as k3v9-m2n0-p1mx-000012"
        raise NotFoundError(f"no execution {execution_id!r}", todo=todo)
    query = _with_results(job_id).where(executions.c.id == execution_id)
    return dict(connection.execute(query).mappings().one())


def attempts_of(connection: Connection, execution_id: str) -> list[dict[str, Any]]:
    """All attempts of an execution, first to last."""
    query = select(attempts).where(attempts.c.execution_id == execution_id).order_by(attempts.c.number)
    return [dict(row) for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True)
class Tally:
    """Executions of one (region, model) by status, with the median duration of the completed ones' sample."""

    region: str
    model: str
    counts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return sum(self.counts.get(status.value, 0) for status in TERMINAL)


def tallies(connection: Connection, job_id: str) -> list[Tally]:
    """Counts by region, model and status, in the order of the job's regions and models."""
    query = (
        select(executions.c.region, executions.c.model, executions.c.status, func.count())
        .where(executions.c.job_id == job_id)
        .group_by(executions.c.region, executions.c.model, executions.c.status)
        .order_by(func.min(executions.c.ordinal))
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for region, model, status, count in connection.execute(query):
        found.setdefault((region, model), {})[status] = count
    return [Tally(region, model, counts) for (region, model), counts in found.items()]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Executions that failed alike: one kind at one provider for one model, with one of their sentences."""

    status: str
    kind: str
    stage: str | None
    provider: str | None
    model: str
    region: str
    count: int
    error: str | None


def failures(connection: Connection, job_id: str) -> list[FailureGroup]:
    """What failed so far, most frequent first."""
    e = executions.c
    unsuccessful = [status.value for status in TERMINAL if status is not ExecutionStatus.COMPLETED]
    query = (
        select(
            e.status,
            e.kind,
            func.min(e.stage),
            e.provider,
            e.model,
            e.region,
            func.count(),
            func.max(e.error),
        )
        .where(and_(e.job_id == job_id, e.status.in_(unsuccessful)))
        .group_by(e.status, e.kind, e.provider, e.model, e.region)
        .order_by(func.count().desc(), e.kind, e.provider)
    )
    return [FailureGroup(*row) for row in connection.execute(query)]


def regions_done(connection: Connection, job_id: str) -> dict[str, tuple[int, int]]:
    """(completed, total) of each region, for the verdict."""
    completed = func.sum(case((executions.c.status == ExecutionStatus.COMPLETED.value, 1), else_=0))
    query = (
        select(executions.c.region, completed, func.count())
        .where(executions.c.job_id == job_id)
        .group_by(executions.c.region)
    )
    return {region: (int(done), total) for region, done, total in connection.execute(query)}
