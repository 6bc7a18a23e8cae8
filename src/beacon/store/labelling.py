"""Labels of answers, each under its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select

from beacon.store.tables import executions, labels, results

MACHINE = "beacon"
"""The source of labels that Beacon's own rules and classifier give."""


@dataclass(frozen=True, slots=True)
class Label:
    execution_id: str
    source: str
    label: str
    score: float | None
    reason: str | None
    flags: str
    labelled_at: float


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """An answer that Beacon has not classified yet."""

    execution_id: str
    question_id: str
    language: str
    answer: str
    finish_reason: str | None
    retracted: bool


def unlabelled(connection: Connection, job_id: str, limit: int) -> list[Unlabelled]:
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
        .limit(limit)
    )
    return [Unlabelled(*row) for row in connection.execute(query)]


def write(connection: Connection, given: Sequence[Label]) -> None:
    """Stores labels; one of the same source for the same answer is replaced."""
    if not given:
        return
    rows: list[dict[str, Any]] = [asdict(label) for label in given]
    for source in {label.source for label in given}:
        ids = [label.execution_id for label in given if label.source == source]
        connection.execute(delete(labels).where(labels.c.source == source, labels.c.execution_id.in_(ids)))
    connection.execute(insert(labels), rows)
