"""What the engine does not do for us, and what Beacon does about it. One test an edge; all over real PostgreSQL."""

from __future__ import annotations

import asyncio
import gc

import psycopg
import pytest
import sqlalchemy as sa

from beacon.domain.states import JobStatus
from beacon.runner import drive as drive_module
from beacon.runner.admission import admit
from beacon.runner.engine import GRACE_S, HEARTBEAT_S, SILENT_S, Engine, Handlers
from beacon.store import jobs, leases, tasks
from beacon.store.group import record_group
from beacon.store.tables import shards
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving
from tests.integration.workers.conftest import CLOCK, until


async def prompt(_number, _body, _request):
    return answer()


@pytest.fixture
async def provider():
    scripted = Scripted(prompt)
    async with serving(scripted):
        yield scripted


@pytest.fixture
def fleet(provider):
    return fleet_of({"us": provider, "eu": provider})


async def running_job(hall, fleet, **fields) -> str:
    job_id = await hall.submit(fleet, **fields)
    await admit(hall.database, job_id, CLOCK)
    await hall.database.write(jobs.begin, job_id, CLOCK.wall())
    return job_id


async def rows(database, statement: str, **values):
    def read(connection):
        return connection.execute(sa.text(statement), values).all()

    return await database.read(read)


async def execute(database, statement: str, **values) -> None:
    def write(connection):
        connection.execute(sa.text(statement), values)

    await database.write(write)


async def todo(database) -> list[str]:
    found = await rows(database, "SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo' ORDER BY 1")
    return [row[0] for row in found]


async def take(database, job_id: str, number: int, owner: str, lease_s: float = 60.0):
    now = CLOCK.wall()
    return await database.write(leases.take_this_shard, job_id, number, owner, now, now + lease_s)


async def test_a_group_commit_holds_no_lock_beyond_its_one_statement(hall, fleet):
    """Edge 1: a worker that stops after its statement was sent has no transaction open."""
    job_id = await running_job(hall, fleet)
    seen = []

    def commit_and_look(connection):
        record_group(connection, job_id, [], [], CLOCK.wall())
        seen.append(connection.connection.driver_connection.info.transaction_status)

    await hall.database.write_at_once(commit_and_look)
    assert seen == [psycopg.pq.TransactionStatus.IDLE]


async def test_an_engine_that_ends_unasked_is_started_again(hall, fleet, monkeypatch):
    """Edge 2: without a periodic task nobody would notice a failed heartbeat; with one, the engine just returns."""
    entered = []
    engine = Engine(hall.database.url, {"region:us": 1}, Handlers(*[None] * 4))
    assert engine._app.periodic_registry.periodic_tasks

    async def returns_at_once():
        entered.append(None)
        if len(entered) == 2:
            engine.stop()

    monkeypatch.setattr(engine, "_run_queues", returns_at_once)
    monkeypatch.setattr("beacon.runner.engine.RESTART_S", 0.01)
    await asyncio.wait_for(engine.run(), 20)
    assert len(entered) == 2


async def test_a_task_that_ends_under_anothers_name_leaves_no_shard_behind(hall, fleet):
    """Edge 3: ends are not fenced by the engine. A takeover is a task of its own, and rows say what is owed."""
    job_id = await running_job(hall, fleet)
    await hall.database.write(tasks.enqueue_owed, 8.0)
    # As if a fenced worker's return had been taken for its successor's: all tasks are gone, nothing is done.
    await execute(hall.database, "DELETE FROM procrastinate_jobs")
    async with hall.worker(fleet):
        job = await hall.until_over(job_id)
    assert job.status is JobStatus.COMPLETED


async def test_a_worker_whose_shard_was_taken_over_sends_nothing_more_and_ends(hall, fleet, provider):
    """Edge 3: a fenced worker must not go on."""
    release = asyncio.Event()

    async def held(_number, _body, _request):
        await release.wait()
        return answer()

    provider.act = held
    job_id = await hall.submit(fleet, questions=20, repeats=2)
    async with hall.worker(fleet, "us") as worker:
        async with asyncio.timeout(30):
            while provider.in_flight < 4:
                await asyncio.sleep(0.02)
        await execute(hall.database, "UPDATE shards SET epoch = epoch + 1, owner = 'x|1|1|1', lease_until = 1e12")
        sent = len(provider.keys)
        release.set()

        async def is_fenced() -> bool:
            return bool(hall.fenced)

        await until(is_fenced)
        assert hall.fenced == [worker] * len(hall.fenced)
        assert len(provider.keys) == sent
    counts = (await hall.job(job_id)).counts
    # Answers that were under way at the takeover are recorded all the same.
    assert counts["completed"] == sent


def test_a_worker_that_is_stopped_ends_before_it_is_taken_for_dead():
    """Edge 4: heartbeats stop at SIGTERM."""
    assert GRACE_S < SILENT_S - HEARTBEAT_S


async def test_a_worker_that_is_stopped_gives_its_shards_back_at_once(hall, fleet, provider):
    """Edge 4: what a shutdown cuts off would never be run again by the engine."""

    async def never(_number, _body, _request):
        await asyncio.sleep(60)
        return answer()

    provider.act = never
    job_id = await hall.submit(fleet)
    async with hall.worker(fleet):
        async with asyncio.timeout(30):
            while not provider.in_flight:
                await asyncio.sleep(0.02)
    held = await hall.database.read(leases.owners_of, job_id)
    assert held - {None} == set()
    assert [name for name in await todo(hall.database) if name.startswith(f"drive:{job_id}")]


async def test_any_number_of_sweeps_at_once_owe_a_task_once(hall, fleet):
    """Edges 5 and 7: one statement, no reaper's lock that could be left held, no batch that fails as a whole."""
    job_id = await running_job(hall, fleet)
    await asyncio.gather(*(hall.database.write_at_once(tasks.enqueue_owed, 8.0) for _ in range(6)))
    assert await todo(hall.database) == [f"drive:{job_id}:0", f"drive:{job_id}:1"]


async def test_a_shard_under_a_living_lease_is_nobody_elses_task(hall, fleet):
    """Edge 5: a task of a living worker is never taken from it."""
    job_id = await running_job(hall, fleet)
    assert await take(hall.database, job_id, 0, "h|1|1|1") is not None
    await hall.database.write_at_once(tasks.enqueue_owed, 8.0)
    assert await todo(hall.database) == [f"drive:{job_id}:1"]
    assert await take(hall.database, job_id, 0, "h|2|2|2") is None


async def test_a_shard_whose_lease_ran_out_is_owed_again_and_told_at_once(hall, fleet):
    """Edge 6: a retry is not told to workers; a new task is."""
    job_id = await running_job(hall, fleet)
    await take(hall.database, job_id, 0, "h|1|1|1", lease_s=-1.0)
    with psycopg.connect(hall.database.url, autocommit=True) as listener:
        listener.execute('LISTEN "procrastinate_queue_v1#region:us"; LISTEN "procrastinate_queue_v1#region:eu"')
        await hall.database.write_at_once(tasks.enqueue_owed, 8.0)
        told = list(listener.notifies(timeout=5, stop_after=1))
    assert told
    assert f"drive:{job_id}:0" in await todo(hall.database)


async def test_a_postponed_task_is_found_by_polling_and_not_owed_twice(hall, fleet):
    """Edges 6 and 7."""
    await running_job(hall, fleet)
    await hall.database.write_at_once(tasks.enqueue_owed, 8.0)
    await execute(hall.database, "UPDATE procrastinate_jobs SET status = 'doing'")
    number = (await rows(hall.database, "SELECT id FROM procrastinate_jobs ORDER BY id LIMIT 1"))[0][0]
    await hall.database.write_at_once(tasks.postpone, number, 60.0)
    await hall.database.write_at_once(tasks.postpone, number, 60.0)
    await hall.database.write_at_once(tasks.enqueue_owed, 8.0)
    assert len(await todo(hall.database)) == 2


async def test_tasks_of_a_worker_that_the_engine_forgot_are_removed_and_their_work_is_owed(hall, fleet):
    """Edge 8: a worker that starts removes silent ones, and leaves their tasks under way for ever."""
    job_id = await running_job(hall, fleet)
    await hall.database.write_at_once(tasks.enqueue_owed, 8.0)
    await execute(hall.database, "UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
    assert await hall.database.write_at_once(tasks.clear_abandoned, 8.0) == 2
    async with hall.worker(fleet):
        assert (await hall.until_over(job_id)).status is JobStatus.COMPLETED


async def test_connections_notice_a_server_that_is_gone(hall):
    """Edge 9: keepalives and a limit on unacknowledged data, on the engine's connections too."""
    engine = Engine(hall.database.url, {"region:us": 1}, Handlers(*[None] * 4))
    async with engine._app.open_async():
        given = engine._app.connector._pool_args["kwargs"]
    assert given["keepalives"] == 1
    assert given["tcp_user_timeout"] <= 30_000


async def test_a_write_ahead_that_grew_old_is_not_sent(hall, fleet, provider, monkeypatch):
    """Edge 10: a process that stood still between the commit and the send."""
    monkeypatch.setattr(drive_module, "SEND_WITHIN_S", -1.0)
    job_id = await hall.submit(fleet)
    async with hall.worker(fleet):

        async def tried() -> bool:
            return bool(await rows(hall.database, "SELECT FROM attempts LIMIT 1"))

        await until(tried)
        assert not provider.keys
        monkeypatch.setattr(drive_module, "SEND_WITHIN_S", 10.0)
        job = await hall.until_over(job_id)
    assert job.counts["completed"] == job.total
    assert set(provider.keys.values()) == {1}


async def test_a_finalizing_whose_worker_died_is_taken_over(hall, fleet, provider):
    job_id = await running_job(hall, fleet)

    def die_finalizing(connection):
        ended = {"done": "size", "owner": "NULL"}
        sets = ", ".join(f"{name} = {value}" for name, value in ended.items())
        connection.execute(sa.text(f"UPDATE shards SET {sets}"))
        connection.execute(sa.text("UPDATE executions SET status = 'failed', kind = 'provider_error'"))
        connection.execute(
            sa.text(
                "UPDATE jobs SET status = 'finalizing', done = total, failed = total, finalizing_at = 1,"
                " finalizer = 'elsewhere|1|1|1', finalizer_until = extract(epoch FROM now()) - 1"
            )
        )

    await hall.database.write(die_finalizing)
    async with hall.worker(fleet):
        job = await hall.until_over(job_id)
    assert job.status is JobStatus.COMPLETED
    assert not provider.keys


async def test_a_worker_of_one_region_takes_that_regions_shards_alone(hall, fleet, provider):
    job_id = await hall.submit(fleet)
    async with hall.worker(fleet, "eu"):

        async def eu_is_done() -> bool:
            return bool(await rows(hall.database, "SELECT FROM shards WHERE region = 'eu' AND done = size"))

        await until(eu_is_done)
        left = await hall.database.read(lambda c: c.scalar(sa.select(shards.c.done).where(shards.c.region == "us")))
    assert left == 0
    assert (await hall.job(job_id)).status is JobStatus.RUNNING


async def known_to_the_engine(hall) -> bool:
    return bool(await rows(hall.database, "SELECT FROM procrastinate_workers"))


# An engine that fails leaves the connections on which it listened to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_worker_that_the_engine_took_for_dead_goes_on(hall, fleet):
    """Edge 8: the next task that it fetches refers to a worker that is no more; the engine is started again."""
    async with hall.worker(fleet):
        await until(lambda: known_to_the_engine(hall))
        await execute(hall.database, "DELETE FROM procrastinate_workers")
        job_id = await hall.submit(fleet)
        assert (await hall.until_over(job_id, 150)).status is JobStatus.COMPLETED
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_worker_outlives_the_end_of_all_connections_of_its_engine(hall, fleet):
    """Edge 2: what waits for news hears nothing any more, and the engine returns."""
    async with hall.worker(fleet):
        await until(lambda: known_to_the_engine(hall))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'beacon-engine'"
        assert await rows(hall.database, cut)
        job_id = await hall.submit(fleet)
        assert (await hall.until_over(job_id, 150)).status is JobStatus.COMPLETED
    gc.collect()
