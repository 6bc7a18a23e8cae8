"""A bundle as it was sealed verifies, and whatever is changed in it is found and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.domain.plan import execution_id
from beacon.domain.spec import JobSpec
from beacon.errors import ExitCode, InputError, VerificationError
from beacon.provenance.archive import Archive
from beacon.provenance.bundle import KEY, LEAVES, LINES, MEMBERS, PROOF, RECEIPTS, REPORT, RESULTS, SEAL, SPEC
from beacon.provenance.canonical import digest
from beacon.provenance.keys import new_key
from beacon.verify.bundle import verify_bundle
from beacon.verify.result import MAX_NAMED, VerifyResult
from tests.sealing import (
    JOB,
    SealedJob,
    change_line,
    joined,
    leaves,
    make_spec,
    members_of,
    pack,
    pack_signed,
    sealed_job,
)


def failed(result: VerifyResult) -> list[int]:
    return [step.number for step in result.steps if step.status == "failed"]


def named(result: VerifyResult) -> set[tuple[str, str | None]]:
    return {(alteration.file, alteration.execution_id) for alteration in result.alterations}


def owner(ordinal: int) -> str:
    return execution_id(JOB, ordinal)


def test_what_was_sealed_verifies(sealed_bundle: Path, job: SealedJob):
    result = verify_bundle(sealed_bundle, trusted_key=job.key.public)
    assert result.ok, result.alterations
    assert [step.status for step in result.steps] == ["passed"] * 8
    assert result.job_id == JOB
    assert result.trusted
    stated = {"total": 16, "completed": 13, "timed_out": 3, "simulated": 13}
    assert result.counts == {"failed": 0, "cancelled": 0, "replayed": 0, **stated}
    assert any("13 of 16" in note and "simulation" in note for note in result.notes)
    assert any("13 of 13 answers is only declared" in note for note in result.notes)
    result.require()


def test_without_a_trusted_key_the_result_says_what_it_does_not_show(sealed_bundle: Path, job: SealedJob):
    result = verify_bundle(sealed_bundle)
    assert result.ok
    assert not result.trusted
    assert any("No trusted key" in note and job.key.public.key_id in note for note in result.notes)


def test_another_key_than_the_trusted_one_is_refused(sealed_bundle: Path, job: SealedJob):
    other = new_key().public
    result = verify_bundle(sealed_bundle, trusted_key=other)
    assert failed(result) == [2]
    assert not result.trusted
    with pytest.raises(VerificationError) as raised:
        result.require()
    assert raised.value.exit_code is ExitCode.VERIFICATION_FAILED
    assert other.key_id in str(raised.value)
    assert job.key.public.key_id in str(raised.value)


def test_an_altered_receipt_is_named(tmp_path: Path, sealed_bundle: Path):
    members = members_of(sealed_bundle)
    members[RECEIPTS] = change_line(members[RECEIPTS], 6, b'"attempts":2', b'"attempts":3')
    pack(tmp_path / "b.zip", members)
    result = verify_bundle(tmp_path / "b.zip")
    assert failed(result) == [4]
    assert named(result) == {(RECEIPTS, owner(6))}
    assert "altered" in result.alterations[0].what


def test_an_altered_answer_is_named(tmp_path: Path, sealed_bundle: Path):
    members = members_of(sealed_bundle)
    members[RESULTS] = change_line(members[RESULTS], 3, b"Answer 3", b"Answer 4")
    pack(tmp_path / "b.zip", members)
    result = verify_bundle(tmp_path / "b.zip")
    assert failed(result) == [5]
    assert [str(a) for a in result.alterations] == [f"{RESULTS}: {owner(3)}: the answer was altered"]


def test_a_receipt_altered_to_fit_an_altered_answer_is_found_in_the_tree(tmp_path: Path, job: SealedJob, sealed_bundle):
    receipt, result = job.rows[2]
    forged = replace(result, answer="Something else")
    members = members_of(sealed_bundle)
    lines = members[RECEIPTS].split(b"\n")
    lines[2] = replace(receipt, answer_sha256=forged.digest()).to_bytes()
    members[RECEIPTS] = b"\n".join(lines)
    members[RESULTS] = members[RESULTS].replace(result.to_bytes(), forged.to_bytes())
    pack(tmp_path / "b.zip", members)
    found = verify_bundle(tmp_path / "b.zip")
    assert failed(found) == [4]
    assert named(found) == {(RECEIPTS, owner(2))}

    members[LEAVES] = joined(leaves(members[RECEIPTS].splitlines()))
    pack(tmp_path / "c.zip", members)
    found = verify_bundle(tmp_path / "c.zip")
    assert failed(found) == [4]
    assert [step.status for step in found.steps[4:7]] == ["not_run"] * 3


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_removed_receipt_is_named_and_the_others_are_not(tmp_path: Path, sealed_bundle: Path, place: int):
    members = members_of(sealed_bundle)
    lines = members[RECEIPTS].splitlines(keepends=True)
    members[RECEIPTS] = b"".join(lines[:place] + lines[place + 1 :])
    pack(tmp_path / "b.zip", members)
    result = verify_bundle(tmp_path / "b.zip")
    assert failed(result) == [4]
    assert [str(a) for a in result.alterations] == [f"{RECEIPTS}: {owner(place)}: the receipt is missing"]


def test_a_removed_answer_an_added_one_and_swapped_ones_are_named(tmp_path: Path, sealed_bundle: Path):
    whole = members_of(sealed_bundle)
    lines = whole[RESULTS].splitlines(keepends=True)
    cases = {
        "removed": (lines[:5] + lines[6:], {(RESULTS, owner(6))}),
        "twice": ([*lines[:2], lines[1], *lines[2:]], {(RESULTS, owner(1))}),
        "swapped": ([lines[1], lines[0], *lines[2:]], {(RESULTS, owner(1))}),
        "foreign": ([*lines, b'{"hello":1}\n'], {(RESULTS, None)}),
    }
    for case, (changed, expected) in cases.items():
        pack(tmp_path / f"{case}.zip", whole | {RESULTS: b"".join(changed)})
        result = verify_bundle(tmp_path / f"{case}.zip")
        assert failed(result) == [5], case
        assert named(result) == expected, case


def test_each_altered_document_is_named(tmp_path: Path, sealed_bundle: Path, job: SealedJob):
    whole = members_of(sealed_bundle)
    changes = {
        SPEC: (whole[SPEC].replace(b"A job", b"B job"), [3]),
        REPORT: (whole[REPORT].replace(b"Nothing", b"Much"), [3]),
        KEY: (new_key().public.pem, [2]),
        LEAVES: (change_line(whole[LEAVES], 4, whole[LEAVES][4 * 65 : 4 * 65 + 8], b"00000000"), [4]),
        PROOF: (whole[PROOF].replace(b"index 1", b"index 0"), [8]),
    }
    for name, (content, steps) in changes.items():
        pack(tmp_path / "b.zip", whole | {name: content})
        result = verify_bundle(tmp_path / "b.zip")
        assert failed(result) == steps, name
        assert {alteration.file for alteration in result.alterations} == {name}


def test_another_jobs_seal_does_not_fit(tmp_path: Path, sealed_bundle: Path):
    """Everything about the seal is in order, but it is the seal of other receipts."""
    other = sealed_job(tmp_path)
    other.write(tmp_path / "other.zip")
    whole, foreign = members_of(sealed_bundle), members_of(tmp_path / "other.zip")
    members = whole | {name: foreign[name] for name in (SEAL, KEY)}
    pack(tmp_path / "b.zip", members)
    assert failed(verify_bundle(tmp_path / "b.zip")) == [8]


def test_many_alterations_are_counted_beyond_those_named(tmp_path: Path):
    job = sealed_job(tmp_path, spec_of(120))
    job.write(tmp_path / "b.zip")
    members = members_of(tmp_path / "b.zip")
    members[RECEIPTS] = members[RECEIPTS].replace(b'"persona":"none"', b'"persona":"nine"')
    pack(tmp_path / "b.zip", members)
    result = verify_bundle(tmp_path / "b.zip")
    step = result.steps[3]
    assert len(step.alterations) == MAX_NAMED
    assert step.further == 120 - MAX_NAMED


def spec_of(total: int) -> JobSpec:
    return make_spec(questions=[{"id": "q", "text": "?"}], models=["alpha"], regions=["us"], repeats=total)


class TestALyingSigner:
    """Signature, tree and log are in order; what was signed is not the whole job, or not the job that was asked."""

    def check(self, tmp_path: Path, job: SealedJob, rows, **statement) -> VerifyResult:
        pack_signed(tmp_path / "lie.zip", job, rows, **statement)
        return verify_bundle(tmp_path / "lie.zip", trusted_key=job.key.public)

    def test_the_forger_used_here_can_tell_the_truth(self, tmp_path: Path, job: SealedJob):
        assert self.check(tmp_path, job, job.rows).ok

    def test_an_execution_left_out_is_named(self, tmp_path: Path, job: SealedJob):
        counts = replace(job.seal.statement.counts, total=15, completed=12, simulated=12)
        result = self.check(tmp_path, job, job.rows[:5] + job.rows[6:], counts=counts)
        assert failed(result) == [6]
        assert "16" in result.alterations[0].what
        assert "15" in result.alterations[0].what

    def test_an_execution_replaced_by_another_is_named(self, tmp_path: Path, job: SealedJob):
        result = self.check(tmp_path, job, [*job.rows[:5], job.rows[6], *job.rows[6:]])
        assert failed(result) == [6]
        assert named(result) == {(RECEIPTS, owner(5)), (RECEIPTS, owner(6))}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *[("model", "gamma"), ("region", "apac"), ("question_id", "q9"), ("persona", "regional")],
            *[("language", "zh"), ("repeat", 7), ("job_id", "other"), ("spec_sha256", "0" * 64)],
            *[("request_sha256", "0" * 64), ("attempt_key", "other.1"), ("attempts", 1), ("provider", None)],
        ],
    )
    def test_a_receipt_that_is_not_of_the_plan_is_named(self, tmp_path: Path, job: SealedJob, field, value):
        receipt, answer = job.rows[3]
        rows = [*job.rows[:3], (replace(receipt, **{field: value}), answer), *job.rows[4:]]
        result = self.check(tmp_path, job, rows)
        assert failed(result) == [6]
        assert named(result) == {(RECEIPTS, owner(3))}

    def test_wrong_counts_are_named(self, tmp_path: Path, job: SealedJob):
        counts = replace(job.seal.statement.counts, completed=16, timed_out=0, simulated=0)
        result = self.check(tmp_path, job, job.rows, counts=counts)
        assert failed(result) == [7]
        assert {a.what for a in result.alterations} == {
            "13 completed, but the seal says 16",
            "3 timed_out, but the seal says 0",
            "13 simulated, but the seal says 0",
        }

    def test_a_spec_that_asks_nothing_is_no_crash(self, tmp_path: Path, job: SealedJob):
        questions = [dict(question, texts={"fr": "?"}) for question in job.spec["questions"]]
        spoiled = replace(job, spec={**job.spec, "questions": questions})
        sha256 = digest(spoiled.spec)
        rows = [(replace(receipt, spec_sha256=sha256), answer) for receipt, answer in job.rows]
        result = self.check(tmp_path, spoiled, rows, spec_sha256=sha256)
        assert failed(result) == [6]
        assert "no text" in result.alterations[0].what


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_is_found_and_named(data, sealed_bundle: Path, tmp_path_factory: pytest.TempPathFactory):
    content = bytearray(sealed_bundle.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flip") / "b.zip"
    path.write_bytes(content)
    check_flip(sealed_bundle, path, position)


def check_flip(original: Path, altered: Path, position: int) -> None:
    result = verify_bundle(altered)
    assert not result.ok
    assert result.alterations
    with original.open("rb") as file:
        archive = Archive(file, MEMBERS)
        inside = [m.name for m in archive.members.values() if m.start <= position < m.end]
        if not inside:
            assert failed(result)[0] == 1
            return
        assert inside[0] in {alteration.file for alteration in result.alterations}
        if inside[0] in LINES:
            before = original.read_bytes()[archive.members[inside[0]].start : position].count(b"\n")
            owners = [o for o in range(16) if inside[0] != RESULTS or o % 5 != 4]
            assert (inside[0], owner(owners[before])) in named(result)


def test_a_missing_file_and_a_directory_are_input_errors(tmp_path: Path):
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(InputError) as raised:
            verify_bundle(path)
        assert raised.value.exit_code is ExitCode.BAD_INPUT


def test_the_result_is_a_document(sealed_bundle: Path):
    document = verify_bundle(sealed_bundle).to_document()
    assert document["ok"] is True
    assert [step["number"] for step in document["steps"]] == list(range(1, 9))
