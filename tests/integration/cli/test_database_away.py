"""What a person sees of a database that is away, and what a process that is killed then leaves to the next."""

from __future__ import annotations

import asyncio

import pytest

from beacon.domain.states import JobStatus
from beacon.runner.spool import spool_files
from beacon.store import jobs
from beacon.store.database import open_database
from tests.integration.cli.conftest import Beacon
from tests.integration.gate import gate_before
from tests.integration.runner.scripted import Scripted, answer, serving

SPOOL = "spool"


@pytest.fixture
def away(tmp_path) -> Beacon:
    return Beacon(tmp_path, {"BEACON_SPOOL": str(tmp_path / SPOOL)})


async def line_with(text: str, process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(60):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, f"ended without saying {text!r}"
    return line


async def test_a_run_waits_for_a_server_that_is_away_and_says_so(away, postgres_url):
    async def prompt(_number, _body, _request):
        return answer()

    provider = Scripted(prompt)
    async with serving(provider), gate_before(postgres_url) as gate:
        away.write_fleet(provider, provider)
        away.write_spec()
        await gate.close()
        running = await away.start("run", "spec.yaml", "--fleet", "fleet.yaml", "--database", gate.url, "--json")
        said = await line_with("The database is away", running)
        assert "Connection refused" in said
        assert "Waiting up to 30 s" in said
        await gate.open()
        _, err = await asyncio.wait_for(running.communicate(), 60)
    assert running.returncode == 0, err.decode()
    assert len(provider.keys) == 8


async def test_a_wrong_name_of_the_database_is_said_at_once(away, postgres_url):
    provider = Scripted(None)
    async with serving(provider), gate_before(postgres_url) as gate:
        away.write_fleet(provider, provider)
        away.write_spec()
        wrong = gate.url.rpartition("/")[0] + "/nowhere"
        ran = await away("run", "spec.yaml", "--fleet", "fleet.yaml", "--database", wrong)
    assert ran.code == 3
    assert "the server has no such database or user" in ran.err
    assert "Waiting" not in ran.err


async def test_what_had_ended_when_a_process_was_killed_while_the_database_was_away_is_handed_in(
    away, postgres_url, tmp_path
):
    told = asyncio.Event()

    async def act(_number, _body, _request):
        await told.wait()
        return answer()

    provider = Scripted(act)
    async with serving(provider), gate_before(postgres_url) as gate:
        away.write_fleet(provider, provider)
        away.write_spec()
        given = ("--fleet", "fleet.yaml", "--database", gate.url, "--json")
        running = await away.start("run", "spec.yaml", *given)
        job_id = (await asyncio.wait_for(running.stderr.readline(), 60)).decode().strip()
        async with asyncio.timeout(60):
            while provider.in_flight < 8:
                await asyncio.sleep(0.01)
            await gate.close()
            told.set()
            while _lines(tmp_path / SPOOL) < 8:
                await asyncio.sleep(0.01)
        running.kill()
        await running.communicate()
        await gate.open()
        resumed = await away("run", "--resume", job_id, *given)
        assert resumed.code == 0, resumed.err
        assert resumed.document["counts"]["completed"] == 8
        database = await open_database(postgres_url)
        job = await database.read(jobs.get, job_id)
        await database.close()
    assert job.status is JobStatus.COMPLETED
    assert provider.keys.total() == 8, "what had been answered was asked again"
    assert spool_files(tmp_path / SPOOL) == []


def _lines(folder) -> int:
    return sum(path.read_bytes().count(b"\n") for path in spool_files(folder)) if folder.exists() else 0
