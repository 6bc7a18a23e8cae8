"""A job that closed is sealed, and its bundle holds; what was altered afterwards is named."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from beacon.domain.states import JobStatus
from beacon.errors import DatabaseError, NotFoundError, VerificationError
from beacon.provenance.keys import load
from beacon.provenance.log import TransparencyLog
from beacon.runner.bundle import write_bundle
from beacon.store import evidence, executions, interventions, labelling, reports
from beacon.store.executions import Filter
from beacon.store.labelling import Label
from beacon.store.tables import jobs, receipts, results
from beacon.store.tables import reports as report_table
from beacon.verify.bundle import verify_bundle
from tests.integration.runner.conftest import CLOCK, Bench
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.sealing import members_of


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BEACON_SIGNING_KEY", str(tmp_path / "evidence" / "key.pem"))
    monkeypatch.setenv("BEACON_TRANSPARENCY_LOG", str(tmp_path / "evidence" / "log.db"))
    return tmp_path / "evidence" / "key.pem"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def spoil(key: Path) -> None:
    key.parent.mkdir()
    key.write_text("no key")
    key.chmod(0o600)


async def politely(number, body, request):
    return answer(f"Answer {number}. \U0001f600 \u2028")


def failing_once_on(question: str):
    """Refuses the question for good until told otherwise."""

    async def act(number, body, request):
        if question in body["messages"][-1]["content"] and not act.healed:
            return answer(model="another")
        return answer(f"Answer {number}.")

    act.healed = False
    return act


async def test_a_finished_job_is_sealed_and_its_bundle_holds(bench: Bench, tmp_path: Path, own_key: Path) -> None:
    us, eu = Scripted(politely), Scripted(politely)
    async with serving(us, eu):
        job = await bench.run(fleet_of({"us": us, "eu": eu}))
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert mode_of(own_key) == 0o600
    path = tmp_path / "job.zip"
    assert await write_bundle(bench.database, job.id, path) == 1
    key = load(own_key)
    result = verify_bundle(path, trusted_key=key.public)
    assert result.ok, result.alterations
    assert (result.job_id, result.sealed_at, result.trusted) == (job.id, job.finalizing_at, True)
    assert result.counts is not None
    assert (result.counts["total"], result.counts["completed"]) == (8, 8)
    log = TransparencyLog(own_key.with_name("log.db"), key)
    assert [entry for _, entry in log.entries()] == [members_of(path)["seal.json"]]


async def test_receipts_say_what_the_database_says(bench: Bench) -> None:
    us = Scripted(failing_once_on("Question 1?"))
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), repeats=1)
    rows = await bench.database.read(executions.page, job.id)
    sealed = await bench.database.read(evidence.sealed_rows, job.id, 1)
    assert {row["status"] for row in rows} == {"completed", "failed"}
    for row, kept in zip(rows, sealed, strict=True):
        receipt = json.loads(kept.receipt)
        same = ("question_id", "model", "region", "repeat", "status", "attempts", "provider", "model_echoed", "label")
        assert {name: receipt[name] for name in same} == {name: row[name] for name in same}
        assert (receipt["failure_kind"], receipt["failure_stage"]) == (row["kind"], row["stage"])
        assert receipt["attempt_key"] == f"{row['id']}.{row['attempts']}"
        assert (receipt["started_at"], receipt["persisted_at"]) == (row["started_at"], row["persisted_at"])
        assert (receipt["answer_sha256"] is None) == (row["status"] != "completed")
        assert receipt["spec_sha256"] == await spec_digest(bench, job.id)


async def spec_digest(bench: Bench, job_id: str) -> str:
    return (await bench.database.read(evidence.submitted_spec, job_id))[1]


async def test_an_answer_altered_in_the_database_is_named(bench: Bench, tmp_path: Path) -> None:
    us = Scripted(politely)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}))
    altered = f"{job.id}-000002"
    change = update(results).where(results.c.execution_id == altered).values(answer="Something else.")
    await bench.database.write(lambda connection: connection.execute(change))
    with pytest.raises(VerificationError, match="not the one that was sealed") as raised:
        await write_bundle(bench.database, job.id, tmp_path / "job.zip")
    assert raised.value.where == altered
    assert not (tmp_path / "job.zip").exists()


@pytest.mark.parametrize(
    ("table", "column", "old", "new"),
    [
        (jobs, "spec_json", "Question 1?", "Question 9?"),
        (report_table, "document_json", '"method": ', '"methods": '),
        (receipts, "document_json", '"label":', '"label":null,"lable":'),
        (receipts, "document_json", '"attempts":1', '"attempts":2'),
    ],
)
async def test_what_was_sealed_and_then_altered_is_refused(
    bench: Bench, tmp_path: Path, table, column, old, new
) -> None:
    us = Scripted(politely)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), questions=2, repeats=1)
    changed = func.replace(table.c[column], old, new)
    count = select(func.count()).select_from(table).where(table.c[column] != changed)
    assert await bench.database.read(lambda connection: connection.scalar(count)) > 0
    await bench.database.write(lambda connection: connection.execute(update(table).values({column: changed})))
    with pytest.raises(VerificationError):
        await write_bundle(bench.database, job.id, tmp_path / "job.zip")


async def test_an_altered_byte_of_the_bundle_is_named(bench: Bench, tmp_path: Path) -> None:
    us = Scripted(politely)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), repeats=1)
    path = tmp_path / "job.zip"
    await write_bundle(bench.database, job.id, path)
    data = bytearray(path.read_bytes())
    data[data.index(b'"answer":"Answer') + 12] ^= 1
    path.write_bytes(data)
    result = verify_bundle(path)
    assert not result.ok
    assert "results.jsonl" in {alteration.file for alteration in result.alterations}
    assert any((alteration.execution_id or "").startswith(job.id) for alteration in result.alterations)


async def test_a_retried_job_has_a_second_seal_and_keeps_the_first(bench: Bench, tmp_path: Path) -> None:
    act = failing_once_on("Question 1?")
    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us})
        first = await bench.run(fleet)
        await write_bundle(bench.database, first.id, tmp_path / "before.zip")
        act.healed = True
        await bench.database.write(interventions.reopen, first.id, Filter(), CLOCK.wall())
        async with bench.runner(fleet) as runner:
            await runner.drive(first.id)
    assert await write_bundle(bench.database, first.id, tmp_path / "second.zip") == 2
    assert await write_bundle(bench.database, first.id, tmp_path / "first.zip", 1) == 1
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "before.zip").read_bytes()
    before, after = (verify_bundle(tmp_path / name) for name in ("first.zip", "second.zip"))
    assert before.ok, before.alterations
    assert after.ok, after.alterations
    assert (before.generation, after.generation) == (1, 2)
    assert (before.counts["failed"], after.counts["failed"]) == (2, 0)
    with pytest.raises(NotFoundError, match="generation 3"):
        await write_bundle(bench.database, first.id, tmp_path / "third.zip", 3)


async def test_a_job_that_cannot_be_sealed_fails_with_the_reason_and_is_sealed_later(
    bench: Bench, tmp_path: Path, own_key: Path
) -> None:
    spoil(own_key)
    us = Scripted(politely)
    async with serving(us):
        fleet = fleet_of({"us": us})
        job = await bench.run(fleet)
        assert job.status is JobStatus.FAILED
        assert job.error is not None
        assert str(own_key) in job.error
        assert f"beacon retry {job.id} --finalize" in job.error
        assert job.counts["completed"] == 4
        with pytest.raises(NotFoundError, match="no seal yet"):
            await write_bundle(bench.database, job.id, tmp_path / "job.zip")
        os.unlink(own_key)
        await bench.database.write(interventions.finalize_again, job.id, CLOCK.wall())
        async with bench.runner(fleet) as runner:
            await runner.drive(job.id)
    job = await bench.job(job.id)
    assert (job.status, job.error, job.generation) == (JobStatus.COMPLETED, None, 1)
    assert await bench.database.read(reports.latest_report, job.id, 2)
    await write_bundle(bench.database, job.id, tmp_path / "job.zip")
    assert verify_bundle(tmp_path / "job.zip", trusted_key=load(own_key).public).ok


async def test_a_label_given_after_the_seal_changes_nothing_that_was_sealed(bench: Bench, tmp_path: Path) -> None:
    us = Scripted(politely)
    async with serving(us):
        job = await bench.run(fleet_of({"us": us}), repeats=1)
    await write_bundle(bench.database, job.id, tmp_path / "before.zip")
    later = Label(f"{job.id}-000000", "person:Ada", "refusal", None, None, "", CLOCK.wall())
    await bench.database.write(labelling.write, [later])
    rows = await bench.database.read(evidence.facts, job.id)
    assert rows[0].label == "refusal"
    await write_bundle(bench.database, job.id, tmp_path / "after.zip")
    assert (tmp_path / "after.zip").read_bytes() == (tmp_path / "before.zip").read_bytes()


async def test_finalizing_again_after_a_stop_makes_the_same_seal(
    bench: Bench, own_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    us = Scripted(politely)

    def break_down(*_: object) -> None:
        raise DatabaseError("the disk is full")

    async with serving(us):
        fleet = fleet_of({"us": us})
        job_id = await bench.submit(fleet)
        with monkeypatch.context() as broken:
            broken.setattr(evidence, "close_sealed", break_down)
            with pytest.raises(DatabaseError):
                async with bench.runner(fleet) as runner:
                    await runner.drive(job_id)
        assert (await bench.job(job_id)).status is JobStatus.FINALIZING
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    assert (await bench.job(job_id)).status is JobStatus.COMPLETED
    sealed = await bench.database.read(evidence.seal_of, job_id)
    assert sealed.report_version == 2
    log = TransparencyLog(own_key.with_name("log.db"), load(own_key))
    assert [entry.decode() for _, entry in log.entries()] == [sealed.envelope]
