"""Sealing and bundling refuse what is not whole, and give the same bytes for the same job."""

from __future__ import annotations

import subprocess
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from beacon.domain.plan import execution_id
from beacon.domain.spec import to_document
from beacon.errors import InputError, VerificationError
from beacon.provenance.keys import new_key
from beacon.provenance.merkle import Frontier, leaf_hash
from beacon.provenance.receipt import Requests, Result, ordinal_of, parse_receipt
from beacon.provenance.seal import JobSealer, parse_seal, seal_job
from tests.sealing import JOB, SEALED_AT, SealedJob, make_spec, rows_of, sealed_job


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> SealedJob:
    return sealed_job(tmp_path_factory.mktemp("job"))


def seal(job: SealedJob, receipts):
    return seal_job(receipts, job.report, job.spec, job.key, job_id=JOB, sealed_at=SEALED_AT)


def receipts_of(job: SealedJob):
    return [receipt for receipt, _ in job.rows]


def test_the_seal_says_what_the_receipts_say(job: SealedJob):
    tree = Frontier()
    for receipt in receipts_of(job):
        tree.append(leaf_hash(receipt.to_bytes()))
    statement = job.seal.statement
    assert statement.receipts_root == tree.root().hex()
    assert (statement.counts.total, statement.counts.completed, statement.counts.timed_out) == (16, 13, 3)
    assert (statement.counts.simulated, statement.counts.replayed) == (13, 0)
    assert parse_seal(job.seal.to_bytes(), "seal") == job.seal


def test_the_same_job_gives_the_same_bytes(tmp_path: Path, job: SealedJob):
    assert seal(job, receipts_of(job)).to_bytes() == job.seal.to_bytes()
    job.write(tmp_path / "a.zip")
    job.write(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_not_whole_is_not_sealed(job: SealedJob):
    whole = receipts_of(job)
    for receipts in (whole[:-1], whole[1:], [whole[1], whole[0], *whole[2:]], [*whole, whole[0]], []):
        with pytest.raises(VerificationError):
            seal(job, receipts)


@pytest.mark.parametrize(
    "changes",
    [
        {"answer_sha256": None},
        {"attempt_key": None},
        {"attempt_key": f"{JOB}-000000.3"},
        {"attempt_key": f"{JOB}-000001.1"},
        {"attempt_key": f"{JOB}-000000.01"},
        {"failure_kind": "provider_error"},
        {"status": "failed"},
        {"spec_sha256": "0" * 64},
    ],
)
def test_a_receipt_that_contradicts_itself_is_not_sealed(job: SealedJob, changes):
    first, *others = receipts_of(job)
    with pytest.raises(VerificationError) as raised:
        seal(job, [replace(first, **changes), *others])
    assert first.execution_id in str(raised.value)


def test_an_execution_that_was_never_sent_has_a_receipt_too(job: SealedJob):
    first, *others = receipts_of(job)
    unsent = replace(
        first,
        status="cancelled",
        attempts=0,
        attempt_key=None,
        request_sha256=None,
        answer_sha256=None,
        provider=None,
        simulated=False,
        failure_kind="cancelled",
    )
    assert seal(job, [unsent, *others]).statement.counts.cancelled == 1


def test_a_bundle_of_other_rows_is_not_written(tmp_path: Path, job: SealedJob):
    path = tmp_path / "b.zip"
    (receipt, result), *others = job.rows
    cases = [
        ([(receipt, replace(result, answer="other")), *others], receipt.execution_id),
        ([(receipt, None), *others], receipt.execution_id),
        ([(replace(receipt, label="refusal"), result), *others], "not the 16 that were sealed"),
        (others, "not the 16 that were sealed"),
    ]
    for rows, named in cases:
        with pytest.raises(VerificationError) as raised:
            replace(job, rows=rows).write(path)
        assert named in str(raised.value)
    for changed in ({"spec_document": {**job.spec, "seed": 8}}, {"report_document": {}}):
        with pytest.raises(VerificationError):
            job.write(path, **changed)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path, job: SealedJob):
    with pytest.raises(InputError):
        job.write(tmp_path / "missing" / "b.zip")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError) as raised:
        job.write(tmp_path / "taken")
    assert "taken" in str(raised.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


def test_a_receipt_is_read_back(job: SealedJob):
    for receipt in receipts_of(job):
        assert parse_receipt(receipt.to_bytes(), "here") == receipt


def test_an_answer_without_a_canonical_form_is_named():
    result = Result(execution_id=f"{JOB}-000000", answer="\ud800", finish_reason=None, retracted=False)
    with pytest.raises(InputError):
        result.to_bytes()


@pytest.mark.parametrize("ordinal", [0, 7, 999_999, 1_000_000, 1_999_999])
def test_ids_carry_their_ordinal(ordinal: int):
    own_id = execution_id(JOB, ordinal)
    assert ordinal_of(own_id, JOB) == ordinal
    assert ordinal_of(own_id, "other") is None
    assert ordinal_of(own_id.replace(JOB + "-", JOB + "-0"), JOB) is None


def test_a_request_digest_depends_on_what_is_asked_and_on_nothing_else():
    def digests(**fields) -> list[str]:
        spec = make_spec(**fields)
        requests = Requests(spec)
        return sorted({receipt.request_sha256 for receipt, _ in rows_of(spec)}), requests

    same, _ = digests()
    assert len(same) == 8, "a cell's repeats ask the same"
    assert digests(name="Another name", seed=99)[0] == same
    assert not set(digests(sampling={"temperature": 0.1})[0]) & set(same)
    assert not set(digests(questions=[{"id": "q0", "text": "Else?"}])[0]) & set(same)


def test_sealing_takes_memory_for_a_hash_a_level():
    spec = make_spec(questions=[{"id": "q", "text": "?"}], models=["alpha"], regions=["us"], repeats=500)
    rows = rows_of(spec)
    sealer = JobSealer(JOB, to_document(spec))
    tracemalloc.start()
    for receipt, _ in rows:
        sealer.add(receipt)
    sealer.seal({}, new_key(), sealed_at=SEALED_AT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200_000


def test_ordinary_tools_unpack_a_bundle(tmp_path: Path, job: SealedJob):
    job.write(tmp_path / "b.zip")
    command = ["python3", "-m", "zipfile", "-e", str(tmp_path / "b.zip"), str(tmp_path / "out")]
    subprocess.run(command, check=True)
    assert (tmp_path / "out" / "seal.json").read_bytes() == job.seal.to_bytes()
