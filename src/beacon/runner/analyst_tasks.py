"""What the analyst process does: it classifies answers, and makes a job's report from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from beacon.analysis.classify import AnswerText, classify_batch
from beacon.analysis.observation import Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import settings_of
from beacon.store import executions, jobs
from beacon.store.database import Database, open_database

Classified = tuple[str, float | None, str, str]
"""label, score, reason, and flags joined by commas"""


def classify(answers: Sequence[tuple[str, str, str | None, str, bool]]) -> list[Classified]:
    """Each answer as (prompt, answer, finish reason, language, retracted)."""
    found = classify_batch([AnswerText(*answer) for answer in answers])
    return [(c.label, c.score, c.reason, ",".join(sorted(c.flags))) for c in found]


def report_document(url: str, job_id: str) -> dict[str, Any]:
    """The report of a job as plain JSON."""
    return asyncio.run(_report_document(url, job_id))


async def _report_document(url: str, job_id: str) -> dict[str, Any]:
    database = await open_database(url)
    try:
        spec = await database.read(jobs.spec_of, job_id)
        observations = await observations_of(database, job_id)
    finally:
        await database.close()
    return analyse(observations, settings_of(spec)).to_document()


async def observations_of(database: Database, job_id: str) -> list[Observation]:
    """Every execution of the job as the analysis sees it, in order."""
    found: list[Observation] = []
    after = -1
    while rows := await database.read(executions.page, job_id, after=after):
        found += [observation(row) for row in rows]
        after = rows[-1]["ordinal"]
    return found


def observation(row: dict[str, Any]) -> Observation:
    """One row of `executions.page` as an observation."""
    flags = row["flags"] or ""
    return Observation(
        execution_id=row["id"],
        question_id=row["question_id"],
        model=row["model"],
        region=row["region"],
        persona=row["persona"],
        language=row["language"],
        repeat=row["repeat"],
        status=row["status"],
        kind=row["kind"],
        label=row["label"],
        score=row["score"],
        flags=frozenset(flag for flag in flags.split(",") if flag),
        answer=row["answer"],
        finish_reason=row["finish_reason"],
        provider=row["provider"],
        upstream=row["upstream"],
        model_echoed=row["model_echoed"],
        region_evidence=row["region_evidence"] or "unknown",
        started_at=row["served_at"] if row["replayed"] else row["started_at"],
        duration_ms=row["duration_ms"],
        simulated=bool(row["simulated"]),
        replayed=bool(row["replayed"]),
    )
