"""Labels of answers, each under its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Subquery, and_, case, delete, func, insert, or_, select

from beacon.store import leases
from beacon.store.executions import Filter, rank
from beacon.store.executions import disputed as is_disputed
from beacon.store.tables import executions, labels, results

MACHINE = "beacon"
"""The source of labels that Beacon's own rules and classifier give."""


@dataclass(frozen=True, slots=True)
class Label:
    """`version` is that of the classifier or the rubric, None for people and imports."""

    execution_id: str
    source: str
    label: str
    score: float | None
    reason: str | None
    flags: str
    labelled_at: float
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """An answer that Beacon has not classified yet."""

    execution_id: str
    question_id: str
    language: str
    answer: str
    finish_reason: str | None
    retracted: bool


def unlabelled_part(connection: Connection, job_id: str, owner: str, now: float, limit: int) -> list[Unlabelled]:
    """Answers for `owner` to classify: those who drive the job share its shards by their numbers, finished ones too.

    While a lease passes on, two may take the same shard for theirs for a moment; both give the same label.
    """
    drivers = leases.drivers(connection, job_id, now)
    if owner not in drivers:
        return []
    return unlabelled(connection, job_id, limit, (drivers.index(owner), len(drivers)))


def unlabelled(connection: Connection, job_id: str, limit: int, part: tuple[int, int] = (0, 1)) -> list[Unlabelled]:
    """Answers that Beacon has not classified yet, of shards whose numbers leave `part[0]` divided by `part[1]`."""
    index, parts = part
    mine = and_(labels.c.execution_id == results.c.execution_id, labels.c.source == MACHINE)
    query = (
        select(
            results.c.execution_id,
            executions.c.question_id,
            executions.c.language,
            results.c.answer,
            results.c.finish_reason,
            results.c.retracted,
        )
        .join(executions, executions.c.id == results.c.execution_id)
        .outerjoin(labels, mine)
        .where(executions.c.job_id == job_id, labels.c.execution_id.is_(None))
        .where(executions.c.shard % parts == index)
        .limit(limit)
    )
    return [Unlabelled(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An answer that a person had better read: `score` is the classifier's probability of its own label."""

    execution_id: str
    question_id: str
    language: str
    answer: str
    score: float | None
    disputed: bool


def doubtful(connection: Connection, job_id: str, source: str, limit: int) -> list[Doubtful]:
    """Answers that `source` has not labelled yet: what is disputed first, then what the classifier is least sure of.

    What a rule decided is certain (score 1), and not doubtful.
    """
    mine, machine = labels.alias(), labels.alias()
    contested = is_disputed().label("disputed")
    query = (
        select(executions.c.id, executions.c.question_id, executions.c.language, results.c.answer)
        .add_columns(machine.c.score, contested)
        .join(results, results.c.execution_id == executions.c.id)
        .outerjoin(machine, and_(machine.c.execution_id == executions.c.id, machine.c.source == MACHINE))
        .outerjoin(mine, and_(mine.c.execution_id == executions.c.id, mine.c.source == source))
        .where(executions.c.job_id == job_id, mine.c.execution_id.is_(None))
        .where(or_(machine.c.score < 1, machine.c.label.is_(None), contested))
        .order_by(case((contested, 0), else_=1), machine.c.score, executions.c.ordinal)
        .limit(limit)
    )
    return [Doubtful(*row) for row in connection.execute(query)]


def counts(connection: Connection, job_id: str) -> list[tuple[str, str, int]]:
    """How often each source gave each label in the job, as (source, label, count)."""
    query = (
        select(labels.c.source, labels.c.label, func.count())
        .join(executions, executions.c.id == labels.c.execution_id)
        .where(executions.c.job_id == job_id)
        .group_by(labels.c.source, labels.c.label)
        .order_by(labels.c.source, labels.c.label)
    )
    return [(source, label, count) for source, label, count in connection.execute(query)]


def by_answer(connection: Connection, job_id: str) -> dict[str, dict[str, str]]:
    """What each source says of each answer of the job that has two labels or more, by execution."""
    given = labels.alias()
    several = (
        select(given.c.execution_id)
        .join(executions, executions.c.id == given.c.execution_id)
        .where(executions.c.job_id == job_id)
        .group_by(given.c.execution_id)
        .having(func.count() > 1)
    )
    query = select(labels.c.execution_id, labels.c.source, labels.c.label).where(labels.c.execution_id.in_(several))
    found: dict[str, dict[str, str]] = {}
    for execution_id, source, label in connection.execute(query.order_by(labels.c.execution_id, labels.c.source)):
        found.setdefault(execution_id, {})[source] = label
    return found


def state(connection: Connection, job_id: str) -> tuple[int, float | None]:
    """How many labels the job's answers have, and when the newest was given: another one changes either."""
    query = (
        select(func.count(), func.max(labels.c.labelled_at))
        .join(executions, executions.c.id == labels.c.execution_id)
        .where(executions.c.job_id == job_id)
    )
    count, newest = connection.execute(query.select_from(labels)).one()
    return count, newest


@dataclass(frozen=True, slots=True)
class Dispute:
    """An answer about which those whose word counts most disagree; `said` is every source's label."""

    execution_id: str
    ordinal: int
    question_id: str
    model: str
    region: str
    repeat: int
    said: dict[str, str]


def disputes(
    connection: Connection, job_id: str, *, after: int = -1, limit: int | None = 50, chosen: Filter | None = None
) -> list[Dispute]:
    """Those after the ordinal `after`, in order; all of them without a `limit`.

    Grouped once over the job's labels: asking for each answer whether it is disputed took seconds at 10,000.
    """
    contested = _contested(job_id)
    query = (
        select(*(executions.c[name] for name in ("id", "ordinal", "question_id", "model", "region", "repeat")))
        .join(contested, contested.c.execution_id == executions.c.id)
        .where(executions.c.job_id == job_id, executions.c.ordinal > after)
        .order_by(executions.c.ordinal)
        .limit(limit)
    )
    for condition in (chosen or Filter()).conditions():
        query = query.where(condition)
    rows = connection.execute(query).all()
    columns = (labels.c.execution_id, labels.c.source, labels.c.label)
    given = select(*columns).where(labels.c.execution_id.in_([row.id for row in rows])).order_by(labels.c.source)
    said: dict[str, dict[str, str]] = {}
    for execution_id, source, label in connection.execute(given):
        said.setdefault(execution_id, {})[source] = label
    return [
        Dispute(row.id, row.ordinal, row.question_id, row.model, row.region, row.repeat, said=said[row.id])
        for row in rows
    ]


def _contested(job_id: str) -> Subquery:
    """The job's answers to which sources of the highest rank that spoke gave several labels."""
    mine = labels.join(executions, executions.c.id == labels.c.execution_id)
    best = (
        select(labels.c.execution_id, func.min(rank(labels)).label("best"))
        .select_from(mine)
        .where(executions.c.job_id == job_id)
        .group_by(labels.c.execution_id)
        .having(func.count() > 1)
        .subquery()
    )
    counting = and_(labels.c.execution_id == best.c.execution_id, rank(labels) == best.c.best)
    return (
        select(labels.c.execution_id)
        .join(best, counting)
        .group_by(labels.c.execution_id)
        .having(func.count(labels.c.label.distinct()) > 1)
        .subquery()
    )


def of(connection: Connection, execution_id: str) -> list[Label]:
    """Every label of one answer, by source."""
    query = select(*(labels.c[name] for name in Label.__slots__)).where(labels.c.execution_id == execution_id)
    return [Label(*row) for row in connection.execute(query.order_by(labels.c.source))]


def write(connection: Connection, given: Sequence[Label]) -> None:
    """Stores labels; one of the same source for the same answer is replaced."""
    if not given:
        return
    rows: list[dict[str, Any]] = [asdict(label) for label in given]
    for source in {label.source for label in given}:
        ids = [label.execution_id for label in given if label.source == source]
        connection.execute(delete(labels).where(labels.c.source == source, labels.c.execution_id.in_(ids)))
    connection.execute(insert(labels), rows)
