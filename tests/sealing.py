"""A small sealed job, and ways to write and to forge its bundle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from beacon.domain.plan import execution_id, shards
from beacon.domain.spec import JobSpec, to_document
from beacon.provenance.archive import Archive, write_archive
from beacon.provenance.bundle import MEMBERS, BundleWriter
from beacon.provenance.canonical import canonical_bytes, digest
from beacon.provenance.envelope import sign_envelope
from beacon.provenance.keys import SigningKey, new_key
from beacon.provenance.log import TransparencyLog
from beacon.provenance.merkle import Frontier, leaf_hash
from beacon.provenance.proof import LogProof
from beacon.provenance.receipt import Receipt, Requests, Result
from beacon.provenance.seal import SEAL_TYPE, Seal, parse_seal, seal_job

JOB = "abcd-efgh-jkmn"
SEALED_AT = 1_764_000_100.5
Row = tuple[Receipt, Result | None]


def make_spec(**fields: Any) -> JobSpec:
    """2 questions x 2 models x 2 regions x 2 repeats, with a persona: 16 executions."""
    document = {
        "schema": "beacon.job/v1",
        "name": "A job",
        "questions": [{"id": f"q{n}", "text": f"Question {n}? Ünïcödé \u20ac"} for n in range(2)],
        "models": ["alpha", "beta"],
        "regions": ["us", "eu"],
        "repeats": 2,
        "seed": 7,
        **fields,
    }
    return JobSpec.model_validate(document)


def rows_of(spec: JobSpec, job_id: str = JOB) -> list[Row]:
    """Every fifth execution has timed out; the others are answered by a simulation."""
    spec_sha256 = digest(to_document(spec))
    requests = Requests(spec)
    rows: list[Row] = []
    for planned in (execution for shard in shards(spec) for execution in shard.executions):
        own_id = execution_id(job_id, planned.ordinal)
        timed_out = planned.ordinal % 5 == 4
        result = Result(
            execution_id=own_id,
            answer=f"Answer {planned.ordinal}\nto {planned.question_id}\u2028 \U0001f600",
            finish_reason="stop",
            retracted=False,
        )
        receipt = Receipt(
            job_id=job_id,
            spec_sha256=spec_sha256,
            execution_id=own_id,
            question_id=planned.question_id,
            model=planned.model,
            region=planned.region,
            persona=planned.persona,
            language=planned.language,
            repeat=planned.repeat,
            status="timed_out" if timed_out else "completed",
            failure_kind="deadline_expired" if timed_out else None,
            failure_stage="inference" if timed_out else None,
            attempts=2,
            attempt_key=f"{own_id}.2",
            request_sha256=requests.digest(planned),
            answer_sha256=None if timed_out else result.digest(),
            provider=f"{planned.region}-a",
            region_evidence="declared",
            queued_at=1_764_000_000.0,
            started_at=1_764_000_001.25,
            finished_at=None if timed_out else 1_764_000_003.5,
            duration_ms=2250.0,
            simulated=not timed_out,
            label=None if timed_out else "substantive",
        )
        rows.append((receipt, None if timed_out else result))
    return rows


@dataclass(frozen=True)
class SealedJob:
    """A job that was sealed and logged, as a second entry of its log."""

    key: SigningKey
    spec: dict[str, Any]
    report: dict[str, Any]
    rows: list[Row]
    seal: Seal
    proof: LogProof

    def write(self, path: Path, **changed: Any) -> None:
        given = {"seal": self.seal, "proof": self.proof, "spec_document": self.spec, "report_document": self.report}
        with BundleWriter(path, **(given | changed)) as bundle:
            for receipt, result in self.rows:
                bundle.add(receipt, result)


def sealed_job(directory: Path, spec: JobSpec | None = None) -> SealedJob:
    spec = spec or make_spec()
    key = new_key()
    document = to_document(spec)
    report = {"findings": [{"effect": 0.31, "sentence": "Nothing differs."}], "method": "1"}
    rows = rows_of(spec)
    receipts = (receipt for receipt, _ in rows)
    seal = seal_job(receipts, report, document, key, job_id=JOB, sealed_at=SEALED_AT)
    return SealedJob(key, document, report, rows, seal, logged(directory / "log.db", key, seal))


def logged(path: Path, key: SigningKey, seal: Seal) -> LogProof:
    log = TransparencyLog(path, key)
    log.append(b"an entry before")
    return log.proof(log.append(seal.to_bytes()))


def members_of(path: Path) -> dict[str, bytes]:
    with path.open("rb") as file:
        archive = Archive(file, MEMBERS)
        return {name: b"".join(archive.chunks(name)) for name in MEMBERS}


def pack(path: Path, members: dict[str, bytes]) -> None:
    """An archive of its one form with other contents: what someone without the key can do."""
    with path.open("wb") as file:
        write_archive(file, [(name, [members[name]]) for name in MEMBERS])


def change_line(data: bytes, number: int, old: bytes, new: bytes) -> bytes:
    """`data` with `old` replaced by `new` in its line `number`, counted from 0."""
    lines = data.split(b"\n")
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    return b"\n".join(lines)


def pack_signed(path: Path, job: SealedJob, rows: Iterable[Row], **statement: Any) -> None:
    """What a signer who lies can do: any receipts and any statement, with tree, signature and log all in order."""
    rows = list(rows)
    lines = [receipt.to_bytes() for receipt, _ in rows]
    tree = Frontier()
    for line in lines:
        tree.append(leaf_hash(line))
    changed = replace(job.seal.statement, **{"receipts_root": tree.root().hex(), **statement})
    seal = parse_seal(sign_envelope(SEAL_TYPE, canonical_bytes(asdict(changed)), job.key).to_bytes(), "seal")
    answers = [result.to_bytes() for _, result in rows if result is not None]
    small = (seal.to_bytes(), seal.key.pem, logged(path.with_suffix(".db"), job.key, seal).to_text().encode())
    large = (canonical_bytes(job.spec), canonical_bytes(job.report), *map(joined, (lines, leaves(lines), answers)))
    pack(path, dict(zip(MEMBERS, small + large, strict=True)))


def leaves(lines: list[bytes]) -> list[bytes]:
    return [leaf_hash(line).hex().encode() for line in lines]


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
