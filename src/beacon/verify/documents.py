"""Steps about whole files: the archive, the seal, spec and report, and the log."""

from __future__ import annotations

from hashlib import sha256

from beacon.domain.document import validate
from beacon.domain.spec import JobSpec
from beacon.errors import DocumentError, VerificationError
from beacon.provenance.archive import Archive
from beacon.provenance.bundle import KEY, LINES, MAX_SMALL_BYTES, MAX_SPEC_BYTES, PROOF, REPORT, SEAL, SPEC
from beacon.provenance.canonical import parse_canonical
from beacon.provenance.keys import PublicKey
from beacon.provenance.proof import parse_proof
from beacon.provenance.seal import Seal, parse_seal
from beacon.verify.evidence import Evidence
from beacon.verify.result import Step


def check_archive(step: Step, archive: Archive) -> None:
    """Each member's contents have the checksum of its header, and each list ends with a whole line."""
    for name in archive.damaged():
        step.fail(name, "the contents do not have the checksum that the archive states")
    for name in LINES:
        if not archive.ends_with_newline(name):
            step.fail(name, "the last line is not ended")
    step.close(f"{len(archive.members)} files, {sum(member.size for member in archive.members.values()):,} bytes")


def check_seal(step: Step, archive: Archive, trusted_key: PublicKey | None) -> Seal:
    """The seal's signature holds, by the key in key.pem and, where one is given, by the trusted one.

    Raises VerificationError where there is no seal to compare anything with.
    """
    seal = parse_seal(archive.read(SEAL, MAX_SMALL_BYTES), SEAL)
    if archive.read(KEY, MAX_SMALL_BYTES) != seal.key.pem:
        step.fail(KEY, f"this is not the key {seal.key.key_id} that the seal states")
    if trusted_key is not None and trusted_key != seal.key:
        step.fail(SEAL, f"signed by key {seal.key.key_id}, not by the trusted key {trusted_key.key_id}")
    step.close(f"signed by key {seal.key.key_id}")
    return seal


def check_documents(step: Step, evidence: Evidence) -> None:
    """Spec and report are those that the seal names by digest; the spec is read only then."""
    statement = evidence.seal.statement
    if _digest(evidence.archive, REPORT) != statement.report_sha256:
        step.fail(REPORT, "the report is not the one that was sealed")
    if _digest(evidence.archive, SPEC) != statement.spec_sha256:
        step.fail(SPEC, "the spec is not the one that was sealed")
    else:
        evidence.spec = _spec(evidence.archive)
    step.close("spec and report have the digests that the seal names")


def check_log(step: Step, evidence: Evidence) -> None:
    """The log's signed checkpoint includes this very seal."""
    data = evidence.archive.read(PROOF, MAX_SMALL_BYTES)
    proof = parse_proof(data, PROOF)
    checkpoint = proof.check(evidence.seal.to_bytes(), evidence.seal.key, PROOF)
    if proof.to_text().encode() != data:
        step.fail(PROOF, "the proof is not written in its one form")
    evidence.log_origin = checkpoint.origin
    step.close(f"entry {proof.index} of {checkpoint.size} in the log {checkpoint.origin}")


def _digest(archive: Archive, name: str) -> str:
    digest = sha256()
    for chunk in archive.chunks(name):
        digest.update(chunk)
    return digest.hexdigest()


def _spec(archive: Archive) -> JobSpec:
    document = parse_canonical(archive.read(SPEC, MAX_SPEC_BYTES), SPEC)
    try:
        return validate(JobSpec, document, SPEC)
    except DocumentError as error:
        raise VerificationError(f"the sealed spec cannot be read: {error.explain()[:500]}", where=SPEC) from None
