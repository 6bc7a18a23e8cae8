"""Common mistakes and broken surroundings: a sentence, an exit code, and nothing half-written."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.runner.scripted import Scripted, answer, serving

WRONG = {
    "bad YAML": ("name: [unclosed", "spec.yaml"),
    "duplicate key": ("schema: beacon.job/v1\nname: One\nname: Two\n", "name"),
}


def assert_refused(ran, code: int, *said: str) -> None:
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    for words in said:
        assert words in ran.err


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_spec_that_is_no_document_is_refused(ready, wrong):
    text, said = WRONG[wrong]
    (ready.folder / "spec.yaml").write_text(text)
    assert_refused(await ready("run", "spec.yaml"), 2, said)
    assert ready.jobs_stored() == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["alhpa"]}, ("models[0]", "'alhpa'", "did you mean 'alpha'?")),
        ({"regions": ["us", "eux"]}, ("regions[1]", "'eux'", "'eu'")),
        ({"repeat": 3}, ("repeat", "repeats")),
        ({"repeats": 0}, ("repeats", "0")),
    ],
)
async def test_a_wrong_value_is_named_with_its_path_and_the_nearest_valid_name(ready, changes, said):
    ready.write_spec(**changes)
    assert_refused(await ready("run", "spec.yaml"), 2, *said)
    assert ready.jobs_stored() == 0


async def test_a_job_in_place_of_an_execution_is_told_where_executions_are_named(ready):
    assert_refused(await ready("explain", "k3v9"), 2, "no execution 'k3v9'", "to do:", "beacon export JOB")


async def test_without_a_fleet_it_says_how_to_get_one(beacon):
    beacon.write_spec()
    assert_refused(await beacon("run", "spec.yaml"), 2, "no fleet is configured", "--fleet lab")
    assert not beacon.database.exists()


async def test_a_path_that_cannot_be_read_is_named(ready):
    assert_refused(await ready("run", "missing.yaml"), 2, "missing.yaml", "No such file")
    assert_refused(await ready("run", "."), 2, "Is a directory")
    assert ready.jobs_stored() == 0


async def test_reading_makes_no_database(beacon):
    assert_refused(await beacon("show", "k3v9"), 2, "no database yet", str(beacon.database))
    listed = await beacon("jobs")
    assert listed.code == 0
    assert "No jobs yet" in listed.out
    assert not beacon.database.exists()


async def test_an_unknown_job_is_said(ready):
    assert_refused(await ready("show", "k3v9"), 2, "no job 'k3v9'", "beacon jobs")


async def test_a_locked_database_is_waited_for_and_then_said(ready):
    with closing(sqlite3.connect(ready.database, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        ran = await ready("run", "spec.yaml")
        holder.execute("ROLLBACK")
    assert_refused(ran, 3, "the database is locked by another process", "run the command again")
    assert "tried again" not in ran.err, "a runner's own patience came before a person was told"
    assert ready.jobs_stored() == 0


@pytest.mark.parametrize(("field", "name"), [("models", "mistral-7"), ("regions", "mars")])
async def test_what_the_fleet_does_not_serve_is_said_before_a_database_is_made(ready, field, name):
    ready.write_spec(**{field: [name]})
    ran = await ready("run", "spec.yaml", "--database", "new.db")
    assert_refused(ran, 2, name)
    assert not list(ready.folder.glob("new.db*"))


async def test_a_newer_database_is_left_as_it_is(ready):
    with closing(sqlite3.connect(ready.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = ready.database.read_bytes()
    for arguments in (("run", "spec.yaml"), ("jobs",)):
        assert_refused(await ready(*arguments), 2, "revision 9999", "newer Beacon")
    assert ready.database.read_bytes() == before


async def test_a_file_that_is_no_database_is_said(ready):
    ready.database.write_text("This is a letter, and no database. " * 100)
    assert_refused(await ready("jobs"), 3, "not a usable Beacon database")


@pytest.mark.parametrize("command", [("serve", "--fleet", "fleet.yaml"), ("lab", "--regions", "us")])
async def test_a_busy_port_is_named(ready, command):
    ready.database.unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = await ready(*command, "--port", port)
    assert_refused(ran, 2, port, "in use")
    assert not ready.database.exists()


async def test_a_provider_that_cannot_be_reached_fails_its_executions_with_a_sentence(ready):
    ready.write_spec(limits={"max_attempts": 1})
    with socket.socket() as closed:
        # Bound and not listening: whoever connects is refused, and nobody else gets the port.
        closed.bind(("127.0.0.1", 0))
        nobody = Scripted(None)
        nobody.url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        ready.write_fleet(nobody, nobody)
        ran = await ready("run", "spec.yaml")
    assert ran.code == 1, ran.err
    assert "criteria unmet" in ran.out
    shown = await ready("show", ran.err.splitlines()[0].removeprefix("job "))
    assert "refused_connection" in shown.out
    assert "8 failed" in shown.out
    assert "us-a" in shown.out


async def _long_answer(number, body, request):
    await asyncio.sleep(0)
    return answer("A long answer. " * 2_000)


async def test_a_full_disk_ends_the_run_and_it_can_be_resumed(ready):
    """A limit on the size of files stands in for the disk: what the database sees is a write that fails."""
    ready.write_spec(repeats=20)
    provider = Scripted(_long_answer)
    most = ready.database.stat().st_size + 700_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    async with serving(provider):
        ready.write_fleet(provider, provider)
        ran = await ready("run", "spec.yaml", "--json", preexec=limit)
        assert_refused(ran, 3, "the disk is full", f"beacon run --resume {ran.job_id}")
        resumed = await ready("run", "--resume", ran.job_id, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.document["counts"]["completed"] == 80
    assert max(provider.keys.values()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
async def test_output_that_cannot_be_written_is_said(ready):
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = await ready("jobs", stdout=full)
    finally:
        os.close(full)
    assert ran.code == 3
    assert "the output cannot be written: No space left on device" in ran.err
    assert "Traceback" not in ran.err


async def test_an_export_that_cannot_be_written_leaves_nothing(ready):
    assert_refused(await ready("export", "k3v9", "--output", "nowhere/answers.csv"), 2, "nowhere/answers.csv")
    assert_refused(await ready("export", "k3v9", "--output", "answers.csv"), 2, "no job 'k3v9'")
    assert sorted(path.name for path in ready.folder.glob("*answers*")) == []


@pytest.mark.parametrize("command", ["show", "report"])
async def test_a_reader_that_goes_away_is_no_failed_job(ready, command):
    async def friendly(_number, _body, _request):
        return answer()

    us, eu = Scripted(friendly), Scripted(friendly)
    async with serving(us, eu):
        ready.write_fleet(us, eu)
        ran = await ready("run", "spec.yaml", "--json")
    process = await ready.start(command, ran.job_id)
    # Closed before a byte is written: the command finds nobody at the other end of its pipe.
    process._transport.get_pipe_transport(1).close()
    assert await asyncio.wait_for(process.wait(), 60) == 0
