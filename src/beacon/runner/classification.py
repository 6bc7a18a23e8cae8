"""Answers are classified while their job runs, off the hot path, so that finalizing stays short."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from beacon.analysis.answer_card import shipped_version
from beacon.domain.clock import Clock
from beacon.domain.spec import JobSpec
from beacon.errors import BeaconError
from beacon.runner.analyst import Analyst
from beacon.store import labelling
from beacon.store.database import Database
from beacon.store.labelling import MACHINE, Label, Unlabelled

log = structlog.get_logger()

BATCH = 500
PAUSE_S = 0.5
"""How often the answers that came in meanwhile are classified; no execution waits for it."""


async def classify_until(
    over: asyncio.Event, database: Database, job_id: str, spec: JobSpec, analyst: Analyst, clock: Clock, owner: str
) -> None:
    """Classifies this owner's part of what comes in until `over` is set; the batch in hand is finished then."""
    try:
        await analyst.start()
        while not over.is_set():
            found = await database.read(labelling.unlabelled_part, job_id, owner, clock.wall(), BATCH)
            await _classify(found, database, spec, analyst, clock)
            if len(found) < BATCH:
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), PAUSE_S)
    except BeaconError as error:
        # The job goes on being asked; finalizing classifies the rest, or says that it cannot.
        log.warning("answers are not classified while the job runs", job=job_id, why=error.what)


async def classify_rest(database: Database, job_id: str, spec: JobSpec, analyst: Analyst, clock: Clock) -> None:
    """Classifies every answer that has no label of Beacon's own yet."""
    while found := await database.read(labelling.unlabelled, job_id, BATCH):
        await _classify(found, database, spec, analyst, clock)


async def _classify(found: list[Unlabelled], database: Database, spec: JobSpec, analyst: Analyst, clock: Clock) -> None:
    if not found:
        return
    verdicts = await analyst.ask("classify", [_text(answer, spec) for answer in found])
    now = clock.wall()
    given = [
        Label(answer.execution_id, MACHINE, label, score, reason, flags, now, shipped_version())
        for answer, (label, score, reason, flags) in zip(found, verdicts, strict=True)
    ]
    await database.write(labelling.write, given)


def _text(answer: Unlabelled, spec: JobSpec) -> tuple[str, str, str | None, str, bool]:
    prompt = spec.question(answer.question_id).texts[answer.language]
    return prompt, answer.answer, answer.finish_reason, answer.language, answer.retracted
