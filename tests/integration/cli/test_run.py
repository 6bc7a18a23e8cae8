"""`run` from the first request to the findings, interrupted or not, and what other commands make of its job."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shlex

from aiohttp import web

from tests.integration.cli.conftest import PATIENCE_S, interrupt
from tests.integration.runner.scripted import Scripted, answer, serving

HOSTILE = "=cmd()\x1b[2J\x1b]0;owned\x07\u202e [bold]wide[/bold]"
CONTRACT = [
    *("execution_id", "job_id", "question_id", "model", "region", "persona", "language", "repeat", "status"),
    *("answer", "finish_reason", "label", "kind", "stage", "error", "attempts", "provider", "model_echoed"),
    *("region_evidence", "upstream", "simulated", "replayed", "queued_at", "started_at", "first_token_at"),
    *("finished_at", "persisted_at", "duration_ms", "input_tokens", "output_tokens", "cost_usd"),
]
"""The fields that the contract names, in its order."""


async def friendly(number, body, request):
    return answer()


async def hostile(number, body, request):
    return answer(HOSTILE)


async def failing(number, body, request):
    error = {"error": {"message": f"no capacity {HOSTILE}", "type": "server_error"}}
    return web.json_response(error, status=400)


async def test_json_is_one_document_and_the_id_comes_first(ready):
    provider = Scripted(friendly)
    async with serving(provider):
        ready.write_fleet(provider, provider)
        ran = await ready("run", "spec.yaml", "--json")
    assert ran.code == 0, ran.err
    told = ran.document
    assert told["job_id"] == ran.job_id
    assert (told["status"], told["verdict"], told["simulated"], told["replayed"]) == ("completed", "met", False, False)
    assert told["counts"] == {"total": 8, "completed": 8, "failed": 0, "timed_out": 0, "cancelled": 0}
    assert {"barrier_gap_ms", "finalizing_ms", "wall_s", "findings"} <= told.keys()
    assert told["cost_usd"] is None

    shown = (await ready("show", ran.job_id[:6], "--json")).document
    assert shown["counts"] == told["counts"]
    assert shown["created_at"] <= shown["finalizing_at"] <= shown["completed_at"]
    listed = (await ready("jobs", "--json")).document
    assert [job["job_id"] for job in listed] == [ran.job_id]
    ready.environment["COLUMNS"] = "60"
    assert ran.job_id in (await ready("jobs")).out
    asked = len(provider.bodies)
    again = await ready("run", "--resume", ran.job_id, "--fleet", "no-such-fleet.yaml")
    assert again.code == 0
    assert "over already" in again.err
    assert "8 of 8 completed" in again.out
    assert len(provider.bodies) == asked


async def test_a_run_without_a_terminal_prints_plain_lines(ready):
    provider = Scripted(friendly)
    async with serving(provider):
        ready.write_fleet(provider, provider)
        ran = await ready("run", "spec.yaml")
    assert ran.code == 0, ran.err
    lines = ran.err.splitlines()
    assert lines[0].startswith("job ")
    assert lines[-1] == "completed; eu 4/4, us 4/4"
    assert "\x1b" not in ran.out + ran.err
    assert "A job: completed, criteria met. 8 of 8 completed." in ran.out


async def test_what_others_wrote_reaches_no_terminal_and_no_spreadsheet(ready):
    us, eu = Scripted(hostile), Scripted(failing)
    async with serving(us, eu):
        ready.write_fleet(us, eu)
        ran = await ready("run", "spec.yaml")
    assert ran.code == 1, ran.err
    job_id = ran.err.splitlines()[0].removeprefix("job ")
    shown, report = await ready("show", job_id), await ready("report", job_id)
    for told in (ran, shown, report):
        assert not {"\x1b", "\x07", "\u202e"} & set(told.out + told.err)
    assert "no capacity" in shown.out
    assert "[bold]wide[/bold]" in shown.out

    rows = [json.loads(line) for line in (await ready("export", job_id)).out.splitlines()]
    assert [list(row) for row in rows] == [CONTRACT] * 8
    assert {row["answer"] for row in rows if row["region"] == "us"} == {HOSTILE}
    assert {(row["status"], row["kind"], row["answer"]) for row in rows if row["region"] == "eu"} == {
        ("failed", "provider_error", None)
    }

    exported = await ready("export", job_id, "--format", "csv", "--output", "answers.csv")
    assert (exported.code, exported.out) == (0, "")
    cells = list(csv.DictReader(io.StringIO((ready.folder / "answers.csv").read_text(), newline="")))
    assert list(cells[0]) == CONTRACT
    assert {row["answer"] for row in cells if row["region"] == "us"} == {f"'{HOSTILE}"}
    assert not any(value.startswith(("=", "+", "-", "@")) for row in cells for value in row.values())


async def _until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


async def _interrupted(beacon, provider) -> tuple[str, str]:
    """Ctrl-C once two executions were answered and more are under way: the job's id, and what was advised."""
    process = await beacon.start("run", "spec.yaml")
    await _until(lambda: provider.in_flight >= 4)
    interrupt(process)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 130
    assert out == b""
    lines = err.decode().splitlines()
    return lines[0].removeprefix("job "), lines[-1].partition("go on with: ")[2]


async def test_ctrl_c_says_how_to_go_on_and_that_works(ready):
    let_go = asyncio.Event()

    async def slow(number, body, request):
        if number > 2:
            await let_go.wait()
        return answer()

    provider = Scripted(slow)
    async with serving(provider):
        ready.write_fleet(provider, provider)
        job_id, command = await _interrupted(ready, provider)
        name, *arguments = shlex.split(command)
        assert name == "beacon"
        assert job_id in arguments
        shown = (await ready("show", job_id, "--json")).document
        assert (shown["status"], shown["counts"]["completed"]) == ("running", 2)
        let_go.set()
        resumed = await ready(*arguments)
    assert resumed.code == 0, resumed.err
    assert "8 of 8 completed" in resumed.out


async def test_a_job_that_nobody_runs_is_cancelled_without_a_fleet_and_retried_with_one(ready):
    let_go = asyncio.Event()

    async def slow(number, body, request):
        if number > 2:
            await let_go.wait()
        return answer()

    provider = Scripted(slow)
    async with serving(provider):
        ready.write_fleet(provider, provider)
        job_id, _ = await _interrupted(ready, provider)
        fleet = ready.folder / "fleet.yaml"
        fleet.rename(ready.folder / "elsewhere.yaml")
        asked = len(provider.bodies)
        cancelled = await ready("cancel", job_id)
        assert cancelled.code == 0, cancelled.err
        assert "2 of 8 executions kept" in cancelled.err
        assert len(provider.bodies) == asked
        again = await ready("cancel", job_id)
        assert again.code == 2
        assert "cannot be cancelled any more" in again.err

        without = await ready("retry", job_id)
        assert without.code == 2
        assert "no fleet is configured" in without.err
        let_go.set()
        retried = await ready("retry", job_id, "--fleet", "elsewhere.yaml")
    assert retried.code == 0, retried.err
    assert "6 executions are tried again" in retried.err
    assert "8 of 8 completed" in retried.out
    needless = await ready("retry", job_id)
    assert needless.code == 2
    assert "nothing to retry" in needless.err
