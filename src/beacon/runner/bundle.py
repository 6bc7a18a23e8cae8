"""The bundle of a sealed job, written from the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from beacon.provenance.bundle import BundleWriter
from beacon.provenance.proof import parse_proof
from beacon.provenance.receipt import Receipt, Result, parse_receipt
from beacon.provenance.seal import parse_seal
from beacon.store import evidence, reports
from beacon.store.database import Database
from beacon.store.evidence import SealedRow


async def write_bundle(database: Database, job_id: str, path: Path, generation: int | None = None) -> int:
    """Writes the job's newest sealed generation, or `generation`, to `path`; returns which it is.

    Neither key nor log is needed: the proof was stored with the seal, so the same job gives the same bytes. Raises
    NotFoundError where there is no seal, VerificationError where the database no longer holds what was sealed,
    UnavailableError where the file cannot be written. Digests and files are left to a thread.
    """
    sealed = await database.read(evidence.seal_of, job_id, generation)
    spec_json, _ = await database.read(evidence.submitted_spec, job_id)
    report = await database.read(reports.latest_report, job_id, sealed.report_version)
    where = f"job {job_id}, seal of generation {sealed.generation}"
    seal = parse_seal(sealed.envelope.encode(), where)
    proof = parse_proof(sealed.proof.encode(), where)
    pages = _Pages(database, job_id, sealed.generation)

    def write() -> None:
        spec = json.loads(spec_json)
        with BundleWriter(path, seal=seal, proof=proof, spec_document=spec, report_document=report) as bundle:
            for row in pages:
                bundle.add(*_sealed(row))

    await asyncio.to_thread(write)
    return sealed.generation


def _sealed(row: SealedRow) -> tuple[Receipt, Result | None]:
    """A receipt with its answer; one that came in a later generation is none of this receipt's."""
    receipt = parse_receipt(row.receipt.encode(), f"receipt of {row.execution_id}")
    if receipt.answer_sha256 is None or row.answer is None:
        return receipt, None
    result = Result(
        execution_id=row.execution_id,
        answer=row.answer,
        finish_reason=row.finish_reason,
        retracted=bool(row.retracted),
    )
    return receipt, result


class _Pages:
    """The rows of one generation, read by a thread through the event loop that made this."""

    def __init__(self, database: Database, job_id: str, generation: int) -> None:
        self._database = database
        self._whose = (job_id, generation)
        self._loop = asyncio.get_running_loop()

    def __iter__(self) -> Iterator[SealedRow]:
        after = -1
        while rows := asyncio.run_coroutine_threadsafe(self._page(after), self._loop).result():
            yield from rows
            after = rows[-1].ordinal

    async def _page(self, after: int) -> list[SealedRow]:
        return await self._database.read(evidence.sealed_rows, *self._whose, after=after)
