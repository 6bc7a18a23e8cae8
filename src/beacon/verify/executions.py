"""Steps about each execution: its receipt, its answer, its place in the plan, and the counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from hashlib import sha256
from itertools import zip_longest

from beacon.domain.plan import PlannedExecution, execution_id, shards
from beacon.domain.spec import JobSpec
from beacon.errors import VerificationError
from beacon.provenance.archive import Archive
from beacon.provenance.bundle import LEAVES, RECEIPTS, RESULTS, SPEC
from beacon.provenance.merkle import Frontier, leaf_hash
from beacon.provenance.receipt import (
    MAX_LINE_BYTES,
    Receipt,
    Requests,
    ordinal_of,
    parse_receipt,
    parse_result,
)
from beacon.provenance.seal import Counts, count
from beacon.verify.evidence import Evidence
from beacon.verify.result import Step
from beacon.verify.sequence import Differences, compare

_LEAF = re.compile(rb"[0-9a-f]{64}")
_CELL = ("question_id", "model", "region", "persona", "language", "repeat")


def check_tree(step: Step, evidence: Evidence) -> None:
    """The receipts are exactly the leaves of the sealed tree.

    The list of leaf hashes tells, where the root differs, which receipts it is that were altered.
    """
    statement = evidence.seal.statement
    total = statement.counts.total
    of_receipts, of_leaves, same = Frontier(), Frontier(), True
    for receipt, leaf in zip_longest(_receipt_leaves(evidence.archive), _listed_leaves(evidence.archive)):
        same = same and receipt == leaf
        if receipt is not None:
            of_receipts.append(receipt)
        if leaf is not None:
            of_leaves.append(leaf)
    root = bytes.fromhex(statement.receipts_root)
    receipts_hold = of_receipts.root() == root and of_receipts.size == total
    leaves_hold = of_leaves.root() == root and of_leaves.size == total
    evidence.proven = receipts_hold or leaves_hold
    if not evidence.proven:
        what = f"{of_receipts.size} receipts do not have the root that was sealed over {total}"
        step.fail(RECEIPTS, what)
        step.fail(LEAVES, "nor do these hashes, so the altered receipts cannot be told apart")
    elif not same and receipts_hold:
        _name_leaves(step, evidence)
    elif not same:
        _name_receipts(step, evidence)
    step.close(f"{of_receipts.size} receipts, root {statement.receipts_root}")


def check_answers(step: Step, evidence: Evidence) -> None:
    """Every answer is the one that its receipt names by digest, and there is no other."""
    expected = (
        (receipt.execution_id, bytes.fromhex(receipt.answer_sha256))
        for receipt in evidence.receipts()
        if receipt.answer_sha256 is not None
    )
    found = (sha256(line).digest() for line in evidence.archive.lines(RESULTS, MAX_LINE_BYTES))
    differences = compare(expected, found)
    claims = _claims(evidence.archive, RESULTS, differences, lambda line: parse_result(line, RESULTS).execution_id)
    altered = set(claims.values())
    for owner in differences.missing.values():
        step.fail(RESULTS, "the answer was altered" if owner in altered else "the answer is missing or altered", owner)
    known = set(differences.missing.values()) | evidence.unproven
    unclaimed = len(differences.missing)
    for line in differences.foreign.values():
        # A line that no longer says whose it is stands for one of the answers that were named above.
        unclaimed -= claims[line] is None
        if claims[line] not in known and (claims[line] is not None or unclaimed < 0):
            step.fail(RESULTS, f"line {line} is no answer that a receipt speaks of", claims[line])
    _name_order(step, RESULTS, differences)
    step.close(f"{differences.found} answers{evidence.passed_over}")


def check_plan(step: Step, evidence: Evidence, spec: JobSpec) -> None:
    """The receipts are those of the spec's plan, none left out and none added, each for what the spec asks."""
    total = evidence.seal.statement.counts.total
    if spec.total != total:
        # Only now may the plan be expanded: it is no larger than the receipts that are really there.
        step.fail(SPEC, f"the spec has {spec.total} executions, the seal speaks of {total}")
        return
    requests = Requests(spec)
    for planned, receipt in _side_by_side(spec, evidence):
        if planned is None and receipt is not None:
            step.fail(RECEIPTS, "the plan has no such execution in this place", receipt.execution_id)
        elif planned is not None and receipt is not None:
            for fault in _faults(receipt, planned, requests, evidence):
                step.fail(RECEIPTS, fault, receipt.execution_id)
        elif planned is not None:
            own_id = execution_id(evidence.seal.statement.job_id, planned.ordinal)
            if own_id not in evidence.unproven:
                step.fail(RECEIPTS, "the plan has this execution, but no receipt stands in its place", own_id)
    step.close(f"{total} executions of the plan{evidence.passed_over}")


def check_counts(step: Step, evidence: Evidence) -> None:
    """The counts of the seal are those of the receipts."""
    if evidence.unproven:
        step.detail = f"cannot be counted: {len(evidence.unproven)} receipts were altered"
        return
    counted: Counter[str] = Counter()
    grades: Counter[str] = Counter()
    for receipt in evidence.receipts():
        count(counted, receipt)
        if receipt.status == "completed":
            grades[receipt.region_evidence] += 1
    evidence.region_evidence = dict(grades)
    found = Counts(total=sum(counted[status] for status in _STATUSES), **counted)
    stated = asdict(evidence.seal.statement.counts)
    for name, value in asdict(found).items():
        if stated[name] != value:
            step.fail(RECEIPTS, f"{value} {name}, but the seal says {stated[name]}")
    step.close(", ".join(f"{name} {value}" for name, value in stated.items()))


_STATUSES = ("completed", "failed", "timed_out", "cancelled")


def _receipt_leaves(archive: Archive) -> Iterator[bytes]:
    return (leaf_hash(line) for line in archive.lines(RECEIPTS, MAX_LINE_BYTES))


def _listed_leaves(archive: Archive) -> Iterator[bytes]:
    """The listed hashes; a line that is none gives bytes that equal no hash."""
    for line in archive.lines(LEAVES, MAX_LINE_BYTES):
        yield bytes.fromhex(line.decode()) if _LEAF.fullmatch(line) else b"malformed: " + line


def _owned(leaves: Iterator[bytes], job_id: str) -> Iterator[tuple[str, bytes]]:
    return ((execution_id(job_id, ordinal), leaf) for ordinal, leaf in enumerate(leaves))


def _name_leaves(step: Step, evidence: Evidence) -> None:
    owned = _owned(_receipt_leaves(evidence.archive), evidence.seal.statement.job_id)
    differences = compare(owned, _listed_leaves(evidence.archive))
    for owner in differences.missing.values():
        step.fail(LEAVES, "the leaf hash was altered or is missing; the receipt is as it was sealed", owner)
    if not differences.missing:
        for line in differences.foreign.values():
            step.fail(LEAVES, f"line {line} is no leaf of the tree")
    _name_order(step, LEAVES, differences)


def _name_receipts(step: Step, evidence: Evidence) -> None:
    job_id = evidence.seal.statement.job_id
    differences = compare(_owned(_listed_leaves(evidence.archive), job_id), _receipt_leaves(evidence.archive))
    claims = _claims(evidence.archive, RECEIPTS, differences, lambda line: parse_receipt(line, RECEIPTS).execution_id)
    places = {execution_id(job_id, line - 1) for line in differences.foreign.values()}
    altered = places | set(claims.values())
    for owner in differences.missing.values():
        step.fail(RECEIPTS, "the receipt was altered" if owner in altered else "the receipt is missing", owner)
    if not differences.missing:
        for line in differences.foreign.values():
            step.fail(RECEIPTS, f"line {line} is no receipt of the tree", claims[line])
    _name_order(step, RECEIPTS, differences)
    evidence.unproven = set(differences.missing.values())
    evidence.unproven_lines = set(differences.foreign.values())
    evidence.proven = not (differences.overflow or differences.moved)


def _name_order(step: Step, name: str, differences: Differences) -> None:
    for owner in differences.moved:
        step.fail(name, "the line stands in another place", owner)
    if differences.overflow:
        step.fail(name, f"so many lines differ that the comparison ended at line {differences.found}")


def _claims(
    archive: Archive, name: str, differences: Differences, owner: Callable[[bytes], str]
) -> dict[int, str | None]:
    """Of which execution each foreign line says that it is, None where it does not say."""
    wanted = set(differences.foreign.values())
    claims: dict[int, str | None] = {}
    if wanted:
        for number, line in enumerate(archive.lines(name, MAX_LINE_BYTES), start=1):
            if number in wanted:
                try:
                    claims[number] = owner(line)
                except VerificationError:
                    claims[number] = None
    return claims


def _side_by_side(spec: JobSpec, evidence: Evidence) -> Iterator[tuple[PlannedExecution | None, Receipt | None]]:
    """Planned executions with their receipts, in order; None stands for what is missing on either side."""
    job_id = evidence.seal.statement.job_id
    receipts = evidence.receipts()
    receipt = next(receipts, None)
    for planned in (planned for shard in shards(spec) for planned in shard.executions):
        while receipt is not None and (ordinal_of(receipt.execution_id, job_id) or 0) < planned.ordinal:
            yield None, receipt
            receipt = next(receipts, None)
        if receipt is not None and ordinal_of(receipt.execution_id, job_id) == planned.ordinal:
            yield planned, receipt
            receipt = next(receipts, None)
        else:
            yield planned, None
    while receipt is not None:
        yield None, receipt
        receipt = next(receipts, None)


def _faults(receipt: Receipt, planned: PlannedExecution, requests: Requests, evidence: Evidence) -> Iterator[str]:
    """In what a proven receipt is not that of the planned execution, or contradicts itself.

    Raises VerificationError where the spec asks nothing there.
    """
    statement = evidence.seal.statement
    if receipt.job_id != statement.job_id or receipt.spec_sha256 != statement.spec_sha256:
        yield "the receipt is of another job or spec"
    for name in _CELL:
        stated, asked = getattr(receipt, name), getattr(planned, name)
        if stated != asked:
            yield f"{name} is {stated!r}, the plan has {asked!r}"
    if receipt.request_sha256 is not None and receipt.request_sha256 != requests.digest(planned):
        yield "the request is not the one that the spec asks"
    yield from receipt.contradictions()
