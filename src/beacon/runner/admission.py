"""Admission: a job spec becomes a queued job with its shards and executions, in bounded memory."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet
from beacon.domain.plan import PlannedShard, shards
from beacon.domain.spec import JobSpec, to_document
from beacon.provenance.canonical import digest
from beacon.store import jobs
from beacon.store.database import Database

SHARDS_PER_COMMIT = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: nothing that is read as something else."""


def new_job_id() -> str:
    """60 random bits as `xxxx-xxxx-xxxx`: keys built from it stay unique across installations."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    return f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"


async def submit(
    database: Database, spec: JobSpec, fleet: Fleet, clock: Clock, idempotency_key: str | None = None
) -> tuple[str, bool]:
    """Stores the job and returns its id, and whether it is new.

    The job exists from the first moment; `admit` stores its executions and may be run again after any stop.
    """
    documents = documents_of(spec, fleet)
    return await database.write(jobs.create, new_job_id(), spec, documents, clock.wall(), idempotency_key)


def documents_of(spec: JobSpec, fleet: Fleet) -> tuple[str, str, str]:
    """The spec and the fleet as JSON, and the spec's SHA-256."""
    document = to_document(spec)
    spec_json = json.dumps(document, sort_keys=True, ensure_ascii=False)
    fleet_json = json.dumps(fleet.model_dump(mode="json", by_alias=True), sort_keys=True)
    return spec_json, fleet_json, digest(document)


async def admit(database: Database, job_id: str, clock: Clock) -> None:
    """Stores the executions that are not stored yet, a few shards a commit; does nothing once all are."""
    job = await database.read(jobs.get, job_id)
    if job.admitted:
        return
    spec = await database.read(jobs.spec_of, job_id)
    for batch in _batches(shards(spec), job.admitted_shards):
        await database.write(jobs.admit, job_id, batch, clock.wall())
    await database.write(jobs.admitted, job_id, clock.wall())


def _batches(planned: Iterator[PlannedShard], stored: int) -> Iterator[list[PlannedShard]]:
    batch: list[PlannedShard] = []
    for shard in planned:
        if shard.number < stored:
            continue
        batch.append(shard)
        if len(batch) == SHARDS_PER_COMMIT:
            yield batch
            batch = []
    if batch:
        yield batch
