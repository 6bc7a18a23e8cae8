"""A provider that keeps its results: no answer is lost and none asked for twice, whatever becomes of the runner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from beacon.domain.failure import FailureKind
from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus
from beacon.store import executions, interventions
from beacon.store.executions import Filter
from tests.integration.agents import Inference, agent, completion, serving, site
from tests.integration.cutting import Cut, cutting


def fleet_at(url: str, **fields: Any) -> Fleet:
    row = {"name": "us-a", "region": "us", "transport": "agent", "url": f"{url}/v1", "models": ["alpha"]}
    return Fleet.model_validate({"providers": [{**row, **fields}]})


def held_by(gate: asyncio.Event):
    async def act(_: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.json_response(completion())

    return act


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
async def inference():
    async with serving(Inference()) as inference:
        yield inference


async def rows_of(bench, job_id: str) -> list[dict[str, Any]]:
    return await bench.database.read(executions.page, job_id)


async def attempts_of(bench, row: dict[str, Any]) -> list[tuple[int, str]]:
    attempts = await bench.database.read(executions.attempts_of, row["id"])
    return [(attempt["number"], attempt["status"]) for attempt in attempts]


async def test_a_job_over_an_agent_is_completed_with_the_regions_as_stated(bench, inference, tmp_path):
    async with agent(inference.url, tmp_path / "agent.db") as url:
        job = await bench.run(fleet_at(url))
    assert (job.status, job.done) == (JobStatus.COMPLETED, 4)
    rows = await rows_of(bench, job.id)
    assert {(row["status"], row["region_evidence"]) for row in rows} == {("completed", "stated")}
    assert set(inference.keys.values()) == {1}


async def test_a_runner_that_is_killed_while_the_agent_works_leaves_no_answer_behind(inference, tmp_path):
    gate = asyncio.Event()
    inference.act = held_by(gate)
    async with agent(inference.url, tmp_path / "agent.db") as url:
        write_files(tmp_path, url)
        process = beacon(tmp_path, "run", "spec.yaml", "--json")
        job_id = (await asyncio.to_thread(process.stderr.readline)).strip()
        await until(lambda: len(inference.keys) == 4)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        gate.set()  # the agent goes on without anyone who waits
        await until(lambda: inference.in_flight == 0)
        process = beacon(tmp_path, "run", "--resume", job_id, "--json")
        output, errors = await asyncio.to_thread(process.communicate, None, 120)
    assert process.returncode == 0, errors
    assert json.loads(output)["counts"]["completed"] == 4
    assert set(inference.keys.values()) == {1}
    assert {key.rpartition(".")[2] for key in inference.keys} == {"1"}


def write_files(folder: Path, url: str) -> None:
    provider = {"name": "us-a", "region": "us", "transport": "agent", "url": f"{url}/v1", "models": ["alpha"]}
    (folder / "fleet.yaml").write_text(yaml.safe_dump({"schema": "beacon.fleet/v1", "providers": [provider]}))
    questions = [{"id": f"q{number}", "text": f"Question {number}?"} for number in range(4)]
    spec = {"schema": "beacon.job/v1", "name": "To be killed", "questions": questions, "models": ["alpha"]}
    spec |= {"regions": ["us"], "repeats": 1, "seed": 3, "success": {"min_regions": 1}}
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))


def beacon(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BEACON_DATABASE_URL": f"sqlite:///{folder}/beacon.db"}
    command = [sys.executable, "-m", "beacon.cli.main", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


async def interrupted_job(bench, inference, fleet: Fleet, **fields) -> str:
    """A job of one execution whose runner stopped while the inference server was working on it."""
    job_id = await bench.submit(fleet, questions=1, repeats=1, **fields)
    async with bench.runner(fleet) as runner:
        driving = asyncio.create_task(runner.drive(job_id))
        await until(lambda: inference.in_flight == 1)
        runner.stop()
        await driving
    return job_id


async def resume(bench, fleet: Fleet, job_id: str) -> dict[str, Any]:
    """Drives the job on; its one execution."""
    async with bench.runner(fleet) as runner:
        await runner.drive(job_id)
    return (await rows_of(bench, job_id))[0]


async def test_a_runner_that_is_stopped_leaves_the_work_to_be_fetched_by_the_next(bench, inference, tmp_path):
    gate = asyncio.Event()
    inference.act = held_by(gate)
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job_id = await interrupted_job(bench, inference, fleet, limits={"on_unknown": "fail"})
        resuming = asyncio.create_task(resume(bench, fleet, job_id))
        await asyncio.sleep(0.2)
        gate.set()
        row = await resuming
    assert (row["status"], row["answer"]) == ("completed", "An answer.")
    assert await attempts_of(bench, row) == [(1, "answered")]
    assert set(inference.keys.values()) == {1}


async def test_what_the_agent_says_of_work_left_behind_is_recorded_and_retried_as_any_failure(
    bench, inference, tmp_path
):
    async def fails(_: web.Request) -> web.StreamResponse:
        if len(inference.keys) == 1:
            await gate.wait()
            return web.json_response({"error": "no room"}, status=500)
        return web.json_response(completion())

    gate = asyncio.Event()
    inference.act = fails
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job_id = await interrupted_job(bench, inference, fleet)
        gate.set()
        row = await resume(bench, fleet, job_id)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await attempts_of(bench, row) == [(1, "failed"), (2, "answered")]
    assert set(inference.keys.values()) == {1}


@pytest.mark.parametrize(("on_unknown", "status"), [("retry", "completed"), ("fail", "failed")])
async def test_work_left_behind_of_which_the_agent_knows_nothing_is_asked_anew_as_the_limits_say(
    bench, inference, tmp_path, on_unknown, status
):
    gate = asyncio.Event()
    inference.act = held_by(gate)
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job_id = await interrupted_job(bench, inference, fleet, limits={"on_unknown": on_unknown})
    gate.set()
    async with agent(inference.url, tmp_path / "another.db") as url:
        row = await resume(bench, fleet_at(url), job_id)
    assert row["status"] == status
    assert row["kind"] == (None if status == "completed" else FailureKind.RESULT_LOST)
    assert (await attempts_of(bench, row))[0] == (1, "interrupted")


async def test_an_answer_that_came_too_late_is_used_by_an_operators_retry(bench, inference, tmp_path):
    """Nothing that the agent says gets through until the deadline; the answer is there all the time."""
    cut: list[Cut | None] = [Cut(down=0)]
    async with (
        agent(inference.url, tmp_path / "agent.db") as url,
        cutting(url, lambda _: cut[0]) as proxy,
    ):
        fleet = fleet_at(proxy.url)
        job = await bench.run(fleet, questions=1, repeats=1, limits={"execution_deadline": "2s"})
        row = (await rows_of(bench, job.id))[0]
        assert (row["status"], row["kind"]) == ("timed_out", "deadline_expired")
        cut[0] = None
        await bench.database.write(interventions.reopen, job.id, Filter(), job.created_at + 1000)
        row = await resume(bench, fleet, job.id)
    assert (row["status"], row["answer"]) == ("completed", "An answer.")
    assert await attempts_of(bench, row) == [(1, "answered"), (2, "refused")]
    assert inference.keys == {f"{row['id']}.1": 1}


async def test_an_operators_retry_of_what_really_failed_asks_anew(bench, inference, tmp_path):
    async def fails(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "no such thing"}, status=400)

    inference.act = fails
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job = await bench.run(fleet, questions=1, repeats=1)
        assert (await rows_of(bench, job.id))[0]["status"] == "failed"
        inference.act = None
        await bench.database.write(interventions.reopen, job.id, Filter(), job.created_at + 1000)
        row = await resume(bench, fleet, job.id)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await attempts_of(bench, row) == [(1, "failed"), (2, "answered")]


async def test_a_cancelled_job_withdraws_its_work_from_the_agent(bench, inference, tmp_path):
    inference.act = held_by(asyncio.Event())
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: inference.in_flight == 1)
            await bench.database.write(interventions.request_stop, job_id, FailureKind.CANCELLED.value, 1.0)
            await driving
        await asyncio.wait_for(inference.aborted.wait(), 30)
    assert (await rows_of(bench, job_id))[0]["status"] == "cancelled"


async def test_work_left_behind_by_a_job_that_was_cancelled_meanwhile_is_withdrawn(bench, inference, tmp_path):
    inference.act = held_by(asyncio.Event())
    async with agent(inference.url, tmp_path / "agent.db") as url:
        fleet = fleet_at(url)
        job_id = await interrupted_job(bench, inference, fleet)
        await bench.database.write(interventions.request_stop, job_id, FailureKind.CANCELLED.value, 1.0)
        row = await resume(bench, fleet, job_id)
        await asyncio.wait_for(inference.aborted.wait(), 30)
    assert row["status"] == "cancelled"
    assert set(inference.keys.values()) == {1}


async def test_work_that_expired_while_nobody_was_there_is_asked_anew_with_its_time_in_full(bench):
    """A mailbox that says of the first key that its deadline passed, and answers the second."""
    kept: dict[str, dict[str, Any]] = {}
    under_way = asyncio.Event()

    async def put(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        first = not kept
        state = {"state": "running"} if first else {"state": "done", "response": completion()}
        kept[key] = {"key": key, "region": "us", "model": "alpha", **state}
        under_way.set()
        return web.json_response(kept[key], status=202)

    async def get(request: web.Request) -> web.Response:
        return web.json_response(kept[request.match_info["key"]])

    app = web.Application()
    app.router.add_put("/v1/inferences/{key}", put)
    app.router.add_get("/v1/inferences/{key}", get)
    async with site(app) as url:
        fleet = fleet_at(url)
        job_id = await bench.submit(fleet, questions=1, repeats=1)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await under_way.wait()
            runner.stop()
            await driving
        (first,) = kept
        error = {"kind": "deadline_expired", "stage": "inference", "message": "the deadline passed"}
        kept[first] |= {"state": "expired", "error": error}
        row = await resume(bench, fleet, job_id)
    assert (row["status"], row["attempts"]) == ("completed", 2)
    assert await attempts_of(bench, row) == [(1, "failed"), (2, "answered")]
