"""The database goes away while answers are under way: work pauses, and goes on; nothing is lost or sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.errors import DatabaseError
from beacon.runner import patience
from beacon.runner.spool import Spool, spool_files
from beacon.store import postgres
from beacon.store.database import open_database
from beacon.store.group import Finish
from beacon.store.tables import attempts, executions
from tests.integration.gate import Gate, gate_before
from tests.integration.runner.conftest import Bench
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


@asynccontextmanager
async def behind_a_gate(url: str) -> AsyncIterator[tuple[Gate, Bench]]:
    """A bench whose database is reached through a gate."""
    async with gate_before(url) as gate:
        database = await open_database(gate.url)
        try:
            yield gate, Bench(database)
        finally:
            await database.close()


def answering_when_told() -> tuple[Scripted, asyncio.Event]:
    told = asyncio.Event()

    async def act(number, _body, _request):
        await told.wait()
        return answer(f"Answer {number}.")

    return Scripted(act), told


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.01)


def lines_in(folder: Path) -> int:
    """Outcomes that wait on the disk."""
    return sum(path.read_bytes().count(b"\n") for path in spool_files(folder))


async def assert_all_once(bench: Bench, job_id: str, provider: Scripted, *, attempts_each: int | None = 1) -> None:
    job = await bench.job(job_id)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, job.total)
    assert set(provider.keys.values()) == {1}, "a key was sent twice"
    assert len(provider.keys) == job.total, "something was asked anew"
    kinds = await bench.database.read(lambda c: Counter(c.scalars(select(attempts.c.status)).all()))
    assert kinds["answered"] == job.total
    if attempts_each is not None:
        tried = await bench.database.read(lambda c: set(c.scalars(select(executions.c.attempts)).all()))
        assert tried == {attempts_each}


async def test_answers_that_come_while_the_server_is_away_are_recorded_when_it_is_back(postgres_url, tmp_path):
    us, told = answering_when_told()
    async with serving(us), behind_a_gate(postgres_url) as (gate, bench):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=6, repeats=2)
        spool = Spool(tmp_path)
        async with bench.runner(fleet, spool=spool) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: us.in_flight == 4)
            await gate.close()
            told.set()
            await until(lambda: lines_in(tmp_path) == 4)
            assert "4 outcomes wait for it" in str(runner.presence.error())
            assert len(us.bodies) == 4, "something was sent while nothing could be written ahead"
            await gate.open()
            await driving
            assert runner.presence.error() is None
            assert len(spool) == 0
        await assert_all_once(bench, job_id, us)
    assert spool_files(tmp_path) == []


@pytest.mark.parametrize("pieces", [range(1, 2), range(1, 40, 2), range(3, 60, 3)])
async def test_a_commit_of_which_nobody_heard_is_neither_lost_nor_done_twice(postgres_url, pieces):
    async def act(number, _body, _request):
        await asyncio.sleep(0.005)
        return answer(f"Answer {number}.")

    us = Scripted(act)
    async with serving(us), behind_a_gate(postgres_url) as (gate, bench):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=10, repeats=2)
        seen = 0

        def group_commit(piece: bytes) -> bool:
            nonlocal seen
            seen += b"beacon_record_group" in piece
            return b"beacon_record_group" in piece and seen in pieces

        gate.cut_when = group_commit
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
        assert gate.cuts > 0
        await assert_all_once(bench, job_id, us)


async def test_a_server_that_stands_still_is_noticed_and_waited_for(postgres_url, monkeypatch, tmp_path):
    monkeypatch.setattr(patience, "SILENT_S", 0.3)
    us, told = answering_when_told()
    async with serving(us), behind_a_gate(postgres_url) as (gate, bench):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=6, repeats=2)
        spool = Spool(tmp_path)
        async with bench.runner(fleet, spool=spool) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: us.in_flight == 4)
            gate.hush()
            told.set()
            await until(lambda: len(spool) == 4)
            assert "has not answered for 0.3 s" in str(runner.presence.error())
            await gate.open()
            await driving
        await assert_all_once(bench, job_id, us)


async def test_all_connections_die_as_in_a_failover(postgres_url):
    async def act(number, _body, _request):
        await asyncio.sleep(0.01)
        return answer(f"Answer {number}.")

    us = Scripted(act)
    async with serving(us), behind_a_gate(postgres_url) as (gate, bench):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=20, repeats=2)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            for count in (5, 15, 25, 35):
                await until(lambda count=count: len(us.bodies) >= count)
                await gate.break_all()
            await driving
        await assert_all_once(bench, job_id, us)


async def test_a_pool_without_a_free_connection_is_waited_for(postgres_url, monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "POOL_TIMEOUT_S", 0.2)
    us, told = answering_when_told()
    database = await open_database(postgres_url)
    bench = Bench(database)
    async with serving(us), AsyncExitStack() as taken:
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=4, repeats=2)
        spool = Spool(tmp_path)
        async with bench.runner(fleet, spool=spool) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: us.in_flight == 4)
            for _ in range(postgres.CONNECTIONS):
                await taken.enter_async_context(database._engine.connect())
            told.set()
            await until(lambda: len(spool) == 4)
            await until(lambda: "no connection became free" in str(runner.presence.error()))
            await taken.aclose()
            await driving
        await assert_all_once(bench, job_id, us)
    await database.close()


FAILING = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'as told' USING ERRCODE = '{state}'; END $$;
CREATE TRIGGER failing BEFORE UPDATE ON attempts FOR EACH STATEMENT EXECUTE FUNCTION fail();
"""


@pytest.mark.parametrize(("state", "says"), [("40001", "as told"), ("53100", "disk is full")])
async def test_transactions_that_clash_and_a_full_disk_of_the_server_are_waited_for(
    postgres_url, tmp_path, state, says
):
    us, told = answering_when_told()
    database = await open_database(postgres_url)
    bench = Bench(database)
    async with serving(us):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=4, repeats=2)
        spool = Spool(tmp_path)
        async with bench.runner(fleet, spool=spool) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: us.in_flight == 4)
            await database.write(lambda c: c.exec_driver_sql(FAILING.format(state=state)))
            told.set()
            await until(lambda: len(spool) == 4)
            assert says in str(runner.presence.error())
            await database.write(lambda c: c.exec_driver_sql("DROP TRIGGER failing ON attempts"))
            await driving
        await assert_all_once(bench, job_id, us)
    await database.close()


async def test_a_full_disk_of_an_embedded_database_is_waited_for(empty_database, tmp_path):
    path = tmp_path / "beacon.db"
    path.write_bytes(empty_database.read_bytes())
    database = await open_database(f"sqlite:///{path}")
    bench = Bench(database)
    told = asyncio.Event()

    async def act(_number, _body, _request):
        await told.wait()
        return answer("A long answer. " * 5_000)

    us = Scripted(act)
    async with serving(us):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=4, repeats=2)
        spool = Spool(tmp_path / "spool")
        async with bench.runner(fleet, spool=spool) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            await until(lambda: us.in_flight == 4)
            await database.write(_set_most_pages, 1)
            told.set()
            await until(lambda: len(spool) == 4)
            assert "the disk is full" in str(runner.presence.error())
            await database.write(_set_most_pages, 1_000_000)
            await driving
        await assert_all_once(bench, job_id, us)
    await database.close()


def _set_most_pages(connection, pages: int) -> None:
    """SQLite takes no fewer than there are: then no page can be added."""
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


async def test_a_runner_that_ends_while_the_database_is_away_leaves_its_answers_to_the_next(
    postgres_url, monkeypatch, tmp_path
):
    monkeypatch.setattr(patience, "STOPPED_S", 0.3)
    us, told = answering_when_told()
    async with serving(us), behind_a_gate(postgres_url) as (gate, bench):
        fleet = fleet_of({"us": us}, concurrency=4)
        job_id = await bench.submit(fleet, questions=4, repeats=2)
        with pytest.raises(DatabaseError, match="the server cannot be reached"):
            await _end_while_away(gate, bench, fleet, job_id, us, told, tmp_path)
        assert lines_in(tmp_path) == 4
        await gate.open()
        async with bench.runner(fleet, spool=Spool(tmp_path)) as runner:
            await runner.drive(job_id)
        await assert_all_once(bench, job_id, us)
    assert spool_files(tmp_path) == []


async def _end_while_away(gate: Gate, bench: Bench, fleet, job_id: str, us, told, folder: Path) -> None:
    spool = Spool(folder)
    async with bench.runner(fleet, spool=spool) as runner:
        driving = asyncio.create_task(runner.drive(job_id))
        await until(lambda: us.in_flight == 4)
        await gate.close()
        told.set()
        await until(lambda: lines_in(folder) == 4)
        runner.stop()
        await driving


async def test_an_answer_that_was_recorded_before_its_spool_was_emptied_is_not_recorded_again(postgres_url, tmp_path):
    us, told = answering_when_told()
    told.set()
    database = await open_database(postgres_url)
    bench = Bench(database)
    async with serving(us):
        fleet = fleet_of({"us": us}, concurrency=4)
        job = await bench.run(fleet, questions=2, repeats=2)
        before = await database.read(_everything)
        spool = Spool(tmp_path)
        await spool.keep(job.id, await database.read(_finishes_of))
        spool.close()
        async with bench.runner(fleet, spool=Spool(tmp_path)):
            assert spool_files(tmp_path) == []
        assert await database.read(_everything) == before
    await database.close()


def _everything(connection):
    return [connection.execute(select(table)).all() for table in (attempts, executions)]


def _finishes_of(connection):
    rows = connection.execute(select(attempts.c.execution_id, attempts.c.id, attempts.c.number)).all()
    given = {"shard": 0, "status": ExecutionStatus.COMPLETED, "attempt_status": "answered", "finished_at": 1.0}
    return [Finish(execution_id=e, attempt_id=a, number=n, **given) for e, a, n in rows]
