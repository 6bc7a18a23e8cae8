"""Verification of a bundle in numbered steps, offline, in memory that does not grow with the number of answers.

1. The archive has its one form, and no file in it is damaged.
2. The seal's signature holds, by the trusted key where one is given.
3. Spec and report are those that were sealed.
4. Every receipt is in the sealed tree, and no other.
5. Every answer is the one that its receipt names.
6. The receipts are all the executions of the spec's plan, each for what the spec asks.
7. The counts are those of the receipts.
8. The transparency log includes the seal.

A bundle is untrusted input: nothing is inflated, extracted or executed, and every file that is read whole and
every line has a limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO, TypeVar

from beacon.errors import InputError, UnavailableError, VerificationError
from beacon.provenance.archive import Archive
from beacon.provenance.bundle import MEMBERS
from beacon.provenance.keys import PublicKey
from beacon.verify.documents import check_archive, check_documents, check_log, check_seal
from beacon.verify.evidence import Evidence
from beacon.verify.executions import check_answers, check_counts, check_plan, check_tree
from beacon.verify.result import Step, VerifyResult

T = TypeVar("T")

STEPS = (
    "archive",
    "signature",
    "spec and report",
    "receipts",
    "answers",
    "completeness",
    "counts",
    "log",
)


def verify_bundle(path: Path, *, trusted_key: PublicKey | None = None) -> VerifyResult:
    """Checks the bundle in the file `path`; what is wrong with it stands in the result, step by step.

    `VerifyResult.require` turns a failure into a VerificationError. Raises InputError where there is no such file,
    UnavailableError where it cannot be read.
    """
    if not path.is_file():
        raise InputError("there is no such file", where=str(path), todo="name a bundle, a .zip file")
    result = VerifyResult(str(path), [Step(number, name) for number, name in enumerate(STEPS, start=1)])
    try:
        with path.open("rb") as file:
            _verify(result, file, trusted_key)
    except OSError as error:
        raise UnavailableError(f"cannot read the bundle: {error.strerror}", where=str(path)) from error
    return result


def _verify(result: VerifyResult, file: BinaryIO, trusted_key: PublicKey | None) -> None:
    archive_step, seal_step, documents, tree, answers, plan, counts, log = result.steps
    archive = _attempt(archive_step, lambda: Archive(file, MEMBERS))
    if archive is None:
        return
    _attempt(archive_step, lambda: check_archive(archive_step, archive))
    seal = _attempt(seal_step, lambda: check_seal(seal_step, archive, trusted_key))
    if seal is None:
        for step in result.steps[2:]:
            step.detail = "there is no valid seal to compare with"
        return
    evidence = Evidence(archive, seal)
    _attempt(documents, lambda: check_documents(documents, evidence))
    _attempt(tree, lambda: check_tree(tree, evidence))
    if evidence.proven:
        _attempt(answers, lambda: check_answers(answers, evidence))
        _attempt(counts, lambda: check_counts(counts, evidence))
    else:
        answers.detail = plan.detail = counts.detail = "the receipts are not those that were sealed"
    if evidence.proven and (spec := evidence.spec) is not None:
        _attempt(plan, lambda: check_plan(plan, evidence, spec))
    elif evidence.proven:
        plan.detail = "the spec is not the one that was sealed"
    _attempt(log, lambda: check_log(log, evidence))
    _conclude(result, evidence, trusted_key)


def _attempt(step: Step, check: Callable[[], T]) -> T | None:
    try:
        return check()
    except VerificationError as error:
        step.fail(error.where or "bundle", error.what)
        return None


def _conclude(result: VerifyResult, evidence: Evidence, trusted_key: PublicKey | None) -> None:
    statement = evidence.seal.statement
    result.job_id = statement.job_id
    result.generation = statement.generation
    result.sealed_at = statement.sealed_at
    result.key_id = evidence.seal.key.key_id
    result.trusted = trusted_key == evidence.seal.key
    result.log_origin = evidence.log_origin
    result.counts = asdict(statement.counts)
    result.notes += _notes(evidence, trusted_key)


def _notes(evidence: Evidence, trusted_key: PublicKey | None) -> list[str]:
    counts = evidence.seal.statement.counts
    notes = []
    if trusted_key is None:
        notes.append(
            f"No trusted key was given: the signature shows that nothing changed since key {evidence.seal.key.key_id} "
            "signed it, not whose key that is."
        )
    if counts.simulated:
        notes.append(f"{counts.simulated} of {counts.total} executions were answered by a simulation.")
    if counts.replayed:
        notes.append(f"{counts.replayed} of {counts.total} executions are replayed from recorded answers.")
    grades = evidence.region_evidence
    weak = grades.get("declared", 0) + grades.get("unknown", 0)
    if weak:
        notes.append(f"The region of {weak} of {counts.completed} answers is only declared by the operator or unknown.")
    return notes
