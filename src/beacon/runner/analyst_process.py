"""The analyst process: it classifies answers, and makes a job's report, receipts and seal from the database.

Run as a module it answers questions on its standard input (see `beacon.runner.analyst`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from beacon.analysis.answer import AnswerText, Classification
from beacon.analysis.answer_card import measured_errors
from beacon.analysis.classify import classify_batch
from beacon.analysis.observation import Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import LabelQuality, settings_of
from beacon.errors import BeaconError
from beacon.runner.analyst import LENGTH_BYTES
from beacon.runner.receipts import receipts_page, seal
from beacon.store import executions, jobs
from beacon.store.database import Database, open_database
from beacon.store.labelling import MACHINE

Classified = tuple[str, float | None, str, str]
"""label, score, reason, and flags joined by commas"""


def classify(answers: Sequence[tuple[str, str, str | None, str, bool]]) -> list[Classified]:
    """Each answer as (prompt, answer, finish reason, language, retracted)."""
    texts = [
        AnswerText(prompt=prompt, answer=answer, finish_reason=reason, language=language, retracted=retracted)
        for prompt, answer, reason, language, retracted in answers
    ]
    return [(c.label, c.score, c.reason, _flags(c)) for c in classify_batch(texts)]


def _flags(classified: Classification) -> str:
    raised = {"truncated": classified.truncated, "retracted": classified.retracted}
    return ",".join(flag for flag, up in raised.items() if up)


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
    return analyse(observations, settings_of(spec, label_quality(observations))).to_document()


def label_quality(observations: Sequence[Observation]) -> LabelQuality | None:
    """Who gave the labels, with the classifier's measured errors where any label is its own."""
    sources = Counter(o.label_source for o in observations if o.label_source is not None)
    if not sources:
        return None
    languages = {o.language.split("-")[0] for o in observations} if MACHINE in sources else set()
    errors = {name: known for name in sorted(languages) if (known := measured_errors(name)) is not None}
    named = [source if len(sources) == 1 else f"{source} ({count:,})" for source, count in sorted(sources.items())]
    return LabelQuality(", ".join(named), errors)


async def observations_of(database: Database, job_id: str) -> list[Observation]:
    """Every execution of the job as the analysis sees it, in order."""
    found: list[Observation] = []
    cold = await database.read(executions.cold_starts, job_id)
    after = -1
    while rows := await database.read(executions.page, job_id, after=after):
        found += [observation(row, cold.get(row["id"], 0.0)) for row in rows]
        after = rows[-1]["ordinal"]
    return found


def observation(row: dict[str, Any], cold_start_s: float = 0.0) -> Observation:
    """One row of `executions.page` as an observation, with the seconds that it waited for a cold start."""
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
        label_source=row["source"],
        disputed=bool(row["disputed"]),
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
        cold_start_s=cold_start_s,
    )


TASKS: dict[str, Callable[..., Any]] = {
    "classify": classify,
    "report_document": report_document,
    "receipts_page": receipts_page,
    "seal": seal,
}
NICENESS = 10
"""Answers are fetched before they are analysed."""


def main() -> None:
    """Answers one question after the other until the input ends."""
    os.nice(NICENESS)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    # What a library prints must not get between the messages.
    sys.stdout = sys.stderr
    while len(head := source.read(LENGTH_BYTES)) == LENGTH_BYTES:
        task, args = json.loads(source.read(int.from_bytes(head, "big")))
        answer = json.dumps(_perform(task, args)).encode()
        sink.write(len(answer).to_bytes(LENGTH_BYTES, "big") + answer)
        sink.flush()


def _perform(task: str, args: list[Any]) -> dict[str, Any]:
    try:
        return {"result": TASKS[task](*args)}
    except BeaconError as error:
        return {"error": error.what, "where": error.where, "todo": error.todo, "code": error.code}
    except Exception as error:  # noqa: BLE001 - the outermost loop of this process: the asker tells of it
        frame = traceback.extract_tb(error.__traceback__)[-1]
        what = f"the analysis failed at {task!r}: {type(error).__name__}: {error}"
        return {"error": what, "where": f"{frame.filename}:{frame.lineno}"}


if __name__ == "__main__":
    main()
