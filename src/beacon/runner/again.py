"""A further report of a job whose answers are all there, by the labels and the method of now."""

from __future__ import annotations

from beacon.domain.clock import Clock
from beacon.errors import ConflictError
from beacon.runner.analyst import Analyst
from beacon.runner.classification import classify_rest
from beacon.store import jobs, reports
from beacon.store.database import Database


async def report_again(
    database: Database, job_id: str, analyst: Analyst, clock: Clock, embedding_model: str | None = None
) -> int:
    """Stores a new version beside the earlier ones and returns its number. Seals are not touched: they name the
    version that they hold. Texts are compared by vectors of the `embedding_model` too, where one is named.

    Raises ConflictError for a job that is not over: it will have a report when it is.
    """
    job = await database.read(jobs.get, job_id)
    if not job.over:
        raise ConflictError(
            f"job {job_id} is {job.status.value}: its report is made at its end",
            todo=f"wait for it with `beacon watch {job_id}`",
        )
    spec = await database.read(jobs.spec_of, job_id)
    await classify_rest(database, job_id, spec, analyst, clock)
    document = await analyst.ask("report_document", database.url, job_id, embedding_model)
    return await database.write(reports.add_report, job_id, document["method"], document, clock.wall())
