"""Sealing: receipts of all executions are made and stored, then signed as one and entered into the log."""

from __future__ import annotations

from beacon.domain.clock import Clock
from beacon.provenance.keys import default_key_path
from beacon.provenance.log import default_log_path
from beacon.runner.analyst import Analyst
from beacon.runner.receipts import ReceiptsPage, Sealed, Sealing
from beacon.store import evidence
from beacon.store.database import Database
from beacon.store.evidence import SealRow
from beacon.store.jobs import Job


async def seal(database: Database, job: Job, report_version: int, analyst: Analyst, clock: Clock) -> SealRow:
    """The seal of a finalizing job, in the log already but not yet stored; its receipts are stored.

    The analyst makes receipts a page at a time and signs what it reads back; this process, the database's one
    writer, stores them. The moment of the seal is that of the barrier, so that sealing the same job again makes
    the same seal. Raises BeaconError.
    """
    assert job.finalizing_at is not None
    await database.write(evidence.begin_sealing, job.id, job.generation, clock.wall())
    made, after = 0, -1
    while made < job.total:
        page: ReceiptsPage = await analyst.ask("receipts_page", database.url, job.id, after)
        if not page["lines"]:
            break  # executions are missing, of which the sealer tells
        made, after = made + len(page["lines"]), page["last"]
        told = f"sealing {made} of {job.total}"
        await database.write(evidence.add_receipts, job.id, job.generation, page["lines"], told, clock.wall())
    sealing: Sealing = {
        "job_id": job.id,
        "generation": job.generation,
        "report_version": report_version,
        "sealed_at": job.finalizing_at,
        "key": str(default_key_path()),
        "log": str(default_log_path()),
    }
    sealed: Sealed = await analyst.ask("seal", database.url, sealing)
    return SealRow(job.generation, sealed["envelope"], sealed["proof"], report_version)
