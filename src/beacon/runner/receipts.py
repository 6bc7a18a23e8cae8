"""What the analyst process does for the evidence: receipts from the database, page by page, and the seal over them."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

from beacon.domain.plan import PlannedExecution
from beacon.domain.spec import JobSpec
from beacon.errors import VerificationError
from beacon.provenance.canonical import digest
from beacon.provenance.keys import load_or_generate
from beacon.provenance.log import TransparencyLog
from beacon.provenance.receipt import Receipt, Requests, Result, parse_receipt
from beacon.provenance.seal import JobSealer
from beacon.store import evidence, reports
from beacon.store.database import Database, open_database
from beacon.store.evidence import Facts

_AS_THEY_ARE = tuple(name for name in Facts.__dataclass_fields__ if name in Receipt.__dataclass_fields__)


class ReceiptsPage(TypedDict):
    """`lines` are (execution id, receipt as canonical JSON); `last` is the last one's ordinal."""

    lines: list[tuple[str, str]]
    last: int


class Sealing(TypedDict):
    """What is to be sealed, and with what. `sealed_at` is in seconds since the epoch; the others name files."""

    job_id: str
    generation: int
    report_version: int
    sealed_at: float
    key: str
    log: str


class Sealed(TypedDict):
    """The seal's envelope, and the proof that the log has it."""

    envelope: str
    proof: str


def receipts_page(url: str, job_id: str, after: int) -> ReceiptsPage:
    """The receipts of the executions that follow the ordinal `after`. Raises BeaconError."""
    return asyncio.run(_receipts_page(url, job_id, after))


async def _receipts_page(url: str, job_id: str, after: int) -> ReceiptsPage:
    database = await open_database(url)
    try:
        spec_json, spec_sha256 = await database.read(evidence.submitted_spec, job_id)
        rows = await database.read(evidence.facts, job_id, after=after)
    finally:
        await database.close()
    requests = _requests(spec_json)
    lines = [(row.execution_id, receipt_of(job_id, spec_sha256, requests, row).to_bytes().decode()) for row in rows]
    return {"lines": lines, "last": rows[-1].ordinal if rows else after}


@lru_cache(maxsize=1)
def _requests(spec_json: str) -> Requests:
    """Kept from page to page: a large spec takes longer to read than a page."""
    return Requests(JobSpec.model_validate_json(spec_json))


def receipt_of(job_id: str, spec_sha256: str, requests: Requests, row: Facts) -> Receipt:
    """One execution's receipt, with the digests of what was asked and of what was answered."""
    answer_sha256 = None
    if row.answer is not None:
        result = Result(
            execution_id=row.execution_id,
            answer=row.answer,
            finish_reason=row.finish_reason,
            retracted=row.retracted,
        )
        answer_sha256 = result.digest()
    known: dict[str, Any] = {name: getattr(row, name) for name in _AS_THEY_ARE}
    sent = row.attempt_key is not None
    return Receipt(
        job_id=job_id,
        spec_sha256=spec_sha256,
        request_sha256=requests.digest(_planned(row)) if sent else None,
        answer_sha256=answer_sha256,
        **known,
    )


def _planned(row: Facts) -> PlannedExecution:
    return PlannedExecution(
        ordinal=row.ordinal,
        shard=0,
        question_id=row.question_id,
        model=row.model,
        region=row.region,
        persona=row.persona,
        language=row.language,
        repeat=row.repeat,
    )


def seal(url: str, sealing: Sealing) -> Sealed:
    """Seals the receipts that are stored, and appends the seal to the log. Raises BeaconError."""
    return asyncio.run(_seal(url, sealing))


async def _seal(url: str, sealing: Sealing) -> Sealed:
    database = await open_database(url)
    try:
        sealer = await _filled_sealer(database, sealing)
        report = await database.read(reports.latest_report, sealing["job_id"], sealing["report_version"])
    finally:
        await database.close()
    key = load_or_generate(Path(sealing["key"]))
    signed = sealer.seal(report, key, sealed_at=sealing["sealed_at"], generation=sealing["generation"])
    log = TransparencyLog(Path(sealing["log"]), key)
    entry = signed.to_bytes()
    return {"envelope": entry.decode(), "proof": log.proof(log.append(entry)).to_text()}


async def _filled_sealer(database: Database, sealing: Sealing) -> JobSealer:
    job_id = sealing["job_id"]
    spec_json, spec_sha256 = await database.read(evidence.submitted_spec, job_id)
    document = json.loads(spec_json)
    if digest(document) != spec_sha256:
        raise VerificationError("the job's spec is not the one that was submitted", where=f"job {job_id}")
    sealer = JobSealer(job_id, document)
    after = -1
    while rows := await database.read(evidence.sealed_rows, job_id, sealing["generation"], after=after):
        for row in rows:
            sealer.add(parse_receipt(row.receipt.encode(), f"receipt of {row.execution_id}"))
        after = rows[-1].ordinal
    return sealer
