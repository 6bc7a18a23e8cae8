"""The agent under more work than it has room for, and what it writes to disk together."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from beacon.domain.failure import FailureKind
from beacon.mailbox.state import Accepted, open_state
from tests.integration.agents import Client, Inference, agent, completion, serving, submission
from tests.integration.router.conftest import ask, failed, router_of


def held_by(gate: asyncio.Event):
    async def act(_: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.json_response(completion())

    return act


@pytest.fixture
async def gate():
    return asyncio.Event()


@pytest.fixture
async def inference(gate):
    async with serving(Inference(held_by(gate))) as inference:
        yield inference


async def test_work_beyond_the_queue_is_refused_until_there_is_room(inference, gate, tmp_path):
    async with (
        agent(inference.url, tmp_path / "s.db", concurrency=1, max_queued=2) as url,
        Client(url) as client,
        aiohttp.ClientSession() as session,
    ):
        told = await asyncio.gather(*(client.put(f"k.{number}") for number in range(8)))
        assert sorted(status for status, _ in told) == [202] * 3 + [429] * 5
        refused = [number for number, (status, _) in enumerate(told) if status == 429]
        async with session.put(f"{url}/v1/inferences/k.{refused[0]}", json=submission()) as response:
            assert (response.status, response.headers["Retry-After"]) == (429, "1")
            error = (await response.json())["error"]
        assert (error["kind"], error["stage"]) == ("rate_limited", "route")
        assert "2 wait" in error["message"]
        accepted = next(number for number, (status, _) in enumerate(told) if status == 202)
        assert (await client.put(f"k.{accepted}"))[0] == 200
        assert (await client.get(f"k.{refused[0]}"))[0] == 404
        gate.set()
        for number, (status, _) in enumerate(told):
            if status == 202:
                await client.until_over(f"k.{number}")
        assert (await client.put(f"k.{refused[0]}"))[0] == 202
        await client.until_over(f"k.{refused[0]}")
    assert set(inference.keys.values()) == {1}
    assert inference.most_in_flight == 1


async def test_a_full_queue_is_told_to_the_router_as_a_limit_that_will_pass(inference, tmp_path):
    async with agent(inference.url, tmp_path / "s.db", concurrency=1, max_queued=0) as url, Client(url) as client:
        await client.put("k.1")
        given = {"name": "us-a", "region": "us", "transport": "agent", "url": f"{url}/v1", "models": ["alpha"]}
        async with router_of(given) as router:
            failure = failed(await ask(router))
    assert (failure.kind, failure.retryable) == (FailureKind.RATE_LIMITED, True)
    assert (failure.http_status, failure.retry_after_s) == (429, 1.0)
    assert "us-a refused the work: it says that its queue is full" in failure.message


async def test_what_cannot_be_written_takes_nothing_else_of_its_group_with_it(tmp_path):
    work = Accepted("k.0", "d", "us", "alpha", "alpha", None, {}, accepted_at=1.0, deadline_at=2.0)
    unwritable = replace(work, key="bad", attempt="\udcff")
    group = [replace(work, key=f"k.{number}") for number in range(5)]
    state = await open_state(tmp_path / "s.db")
    try:
        results = await asyncio.gather(
            *(state.accept(each) for each in [*group, unwritable, group[0]]), return_exceptions=True
        )
        assert results[:5] == [None] * 5
        assert isinstance(results[5], UnicodeEncodeError)
        assert results[6] == "d"
        assert await state.read("bad") is None
    finally:
        await state.close()
    with sqlite3.connect(tmp_path / "s.db") as kept:
        assert kept.execute("SELECT count(*) FROM inferences").fetchone() == (5,)
    kept.close()


async def test_what_is_accepted_while_the_disk_is_busy_shares_one_sync(tmp_path):
    work = Accepted("k.0", "d", "us", "alpha", "alpha", None, {}, accepted_at=1.0, deadline_at=2.0)
    state = await open_state(tmp_path / "s.db")
    commits: list[str] = []
    try:
        await state._run(lambda connection: connection.set_trace_callback(commits.append))
        await asyncio.gather(*(state.accept(replace(work, key=f"k.{number}")) for number in range(50)))
    finally:
        await state.close()
    assert commits.count("COMMIT") <= 2
