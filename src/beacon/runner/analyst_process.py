"""The analyst process: it classifies answers, and makes a job's report, receipts and seal from the database.

Run as a module it answers questions on its standard input (see `beacon.runner.analyst`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from beacon.analysis.answer import AnswerText, Classification
from beacon.analysis.classify import classify_batch
from beacon.analysis.report import analyse
from beacon.analysis.settings import settings_of
from beacon.errors import BeaconError
from beacon.runner.analyst import LENGTH_BYTES
from beacon.runner.drifting import drift_between
from beacon.runner.embedding import embeddings_of
from beacon.runner.observations import label_quality, observations_of
from beacon.runner.receipts import receipts_page, seal
from beacon.store import jobs, labelling
from beacon.store.database import open_database

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


def report_document(url: str, job_id: str, embedding_model: str | None = None) -> dict[str, Any]:
    """The report of a job as plain JSON."""
    return asyncio.run(_report_document(url, job_id, embedding_model))


async def _report_document(url: str, job_id: str, model: str | None) -> dict[str, Any]:
    database = await open_database(url)
    try:
        spec = await database.read(jobs.spec_of, job_id)
        observations = await observations_of(database, job_id)
        labels = await database.read(labelling.by_answer, job_id)
        embeddings = await embeddings_of(database, observations, model) if model is not None else None
    finally:
        await database.close()
    quality = label_quality(observations, labels.values())
    return analyse(observations, settings_of(spec, quality), embeddings).to_document()


def drift(url: str, base_id: str, other_id: str) -> dict[str, Any]:
    """What changed from one job to another, as plain JSON. Raises BeaconError."""
    return asyncio.run(_drift(url, base_id, other_id))


async def _drift(url: str, base_id: str, other_id: str) -> dict[str, Any]:
    database = await open_database(url)
    try:
        return await drift_between(database, base_id, other_id)
    finally:
        await database.close()


TASKS: dict[str, Callable[..., Any]] = {
    "classify": classify,
    "drift": drift,
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
