"""Jobs over a Modal-like endpoint: the run is recorded with its attempt, and outlives its runner."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import yaml

from beacon.domain.failure import FailureKind
from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus
from beacon.lab.modal_like import CALL_ID, Journey, ModalLike, serving
from beacon.store import executions, interventions
from beacon.store.executions import Filter
from beacon.store.tables import attempts
from tests.integration.runner.test_recovery import beacon, until


def fleet_at(url: str) -> Fleet:
    return Fleet.model_validate({"providers": [row_at(url)]})


def row_at(url: str) -> dict[str, Any]:
    return {
        "name": "us-modal",
        "region": "us",
        "transport": "modal",
        "url": url,
        "models": ["alpha"],
        "stream": False,
        "region_header": "X-Region",
    }


async def references(bench, job_id: str) -> list[tuple[str, str | None]]:
    def read(connection):
        return [(row.status, row.call_id) for row in connection.execute(attempts.select())]

    return await bench.database.read(read)


async def test_a_job_over_redirects_has_one_run_and_one_answer_for_each_execution(bench):
    async with serving(ModalLike(Journey(2, cut=frozenset({2})), region="us")) as modal:
        job = await bench.run(fleet_at(modal.url))
    assert (job.status, job.done) == (JobStatus.COMPLETED, 4)
    rows = await bench.database.read(executions.page, job.id)
    assert {(row["status"], row["region_evidence"], row["attempts"]) for row in rows} == {("completed", "stated", 1)}
    assert sorted(row["answer"] for row in rows) == [f"The answer of run fc-{number}." for number in range(1, 5)]
    assert set(modal.runs.values()) == {1}
    told = await references(bench, job.id)
    assert {status for status, _ in told} == {"answered"}
    assert {reference for _, reference in told} == {f"/v1/chat/completions?{CALL_ID}=fc-{n}" for n in range(1, 5)}


async def stopped_on_the_way(bench, modal: ModalLike, **fields: Any) -> str:
    """A job of one execution whose runner stopped while its run was under way and its reference was known."""
    fleet = fleet_at(modal.url)
    job_id = await bench.submit(fleet, questions=1, repeats=1, **fields)
    async with bench.runner(fleet) as runner:
        driving = asyncio.create_task(runner.drive(job_id))
        await until(lambda: [method for method, _ in modal.seen].count("GET") >= 1)
        runner.stop()
        await driving
    return job_id


async def resume(bench, modal: ModalLike, job_id: str) -> dict[str, Any]:
    async with bench.runner(fleet_at(modal.url)) as runner:
        await runner.drive(job_id)
    (row,) = await bench.database.read(executions.page, job_id)
    return row


async def test_a_runner_that_is_stopped_leaves_the_run_to_be_fetched_by_the_next(bench):
    async with serving(ModalLike(Journey(1))) as modal:
        modal.hold()
        job_id = await stopped_on_the_way(bench, modal, limits={"on_unknown": "fail"})
        modal.let_go()
        row = await resume(bench, modal, job_id)
    assert (row["status"], row["answer"]) == ("completed", "The answer of run fc-1.")
    assert [status for status, _ in await references(bench, job_id)] == ["answered"]
    assert modal.runs == {f"{row['id']}.1": 1}


async def test_a_run_that_was_over_after_the_deadline_is_used_by_an_operators_retry(bench):
    async with serving(ModalLike(Journey(1))) as modal:
        modal.hold()
        fleet = fleet_at(modal.url)
        job = await bench.run(fleet, questions=1, repeats=1, limits={"execution_deadline": "1s"})
        (row,) = await bench.database.read(executions.page, job.id)
        assert (row["status"], row["kind"]) == ("timed_out", "deadline_expired")
        modal.let_go()
        await bench.database.write(interventions.reopen, job.id, Filter(), job.created_at + 1000)
        row = await resume(bench, modal, job.id)
    assert (row["status"], row["answer"]) == ("completed", "The answer of run fc-1.")
    made = await bench.database.read(executions.attempts_of, row["id"])
    assert [attempt["status"] for attempt in made] == ["answered", "refused"]
    assert modal.runs == {f"{row['id']}.1": 1}


async def test_a_run_whose_result_expired_meanwhile_is_lost_and_asked_anew(bench):
    async with serving(ModalLike(Journey(1))) as modal:
        modal.hold()
        job_id = await stopped_on_the_way(bench, modal)
        modal.let_go()
    async with serving(ModalLike()) as another:
        row = await resume(bench, another, job_id)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    first, second = await bench.database.read(executions.attempts_of, row["id"])
    assert (first["status"], first["kind"]) == ("interrupted", FailureKind.RESULT_LOST)
    assert second["status"] == "answered"


async def test_a_runner_that_is_killed_while_runs_are_under_way_leaves_no_answer_behind(tmp_path):
    async with serving(ModalLike(Journey(1))) as modal:
        modal.hold()
        fleet = {"schema": "beacon.fleet/v1", "providers": [row_at(modal.url)]}
        (tmp_path / "fleet.yaml").write_text(yaml.safe_dump(fleet))
        questions = [{"id": f"q{number}", "text": f"Question {number}?"} for number in range(4)]
        spec = {"schema": "beacon.job/v1", "name": "To be killed", "questions": questions, "models": ["alpha"]}
        spec |= {"regions": ["us"], "repeats": 1, "seed": 3, "success": {"min_regions": 1}}
        (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
        process = beacon(tmp_path, "run", "spec.yaml", "--json")
        job_id = (await asyncio.to_thread(process.stderr.readline)).strip()
        # A result is read only after its reference is recorded.
        await until(lambda: len({h["X-Beacon-Key"] for method, h in modal.seen if method == "GET"}) == 4)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        modal.let_go()
        process = beacon(tmp_path, "run", "--resume", job_id, "--json")
        output, errors = await asyncio.to_thread(process.communicate, None, 120)
    assert process.returncode == 0, errors
    assert json.loads(output)["counts"]["completed"] == 4
    assert set(modal.runs.values()) == {1}
    assert {key.rpartition(".")[2] for key in modal.runs} == {"1"}
