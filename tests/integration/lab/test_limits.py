"""Rate limits, concurrency caps and cold starts over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from beacon.lab.fleet import open_lab

BEHAVIOURS = {
    "rated": {"limit": {"requests_per_second": 0.1, "burst": 2}},
    "silent": {"limit": {"requests_per_second": 0.1, "burst": 1, "retry_after": False}},
    "capped": {"latency": "400ms", "limit": {"concurrency": 3}},
    "waits": {"cold_start": {"seconds": "300ms"}},
    "says-503": {"cold_start": {"seconds": "300ms", "meanwhile": "503"}},
}


@pytest.fixture(scope="module")
def running(world_file):
    with open_lab(world_file(BEHAVIOURS), regions=("us",)) as lab:
        yield lab


@pytest.fixture
async def url(running) -> str:
    await running.reset()
    return f"{running.url('us')}/v1"


async def test_more_than_the_rate_is_a_429_that_says_when_to_come_back(ask, url):
    replies = [await ask(url, "rated") for _ in range(4)]

    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 10
    assert replies[-1].json["error"]["type"] == "rate_limit_error"


async def test_a_429_may_come_without_a_hint(ask, url):
    replies = [await ask(url, "silent") for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 429]
    assert "Retry-After" not in replies[1].headers


async def test_more_than_the_cap_at_once_is_a_429(ask, url):
    replies = await asyncio.gather(*(ask(url, "capped") for _ in range(10)))

    assert sorted(reply.status for reply in replies) == [200] * 3 + [429] * 7
    assert (await ask(url, "capped")).status == 200


async def test_the_first_request_to_a_cold_model_waits_for_it(running, ask, url):
    loop = asyncio.get_running_loop()
    started = loop.time()
    await ask(url, "waits")
    waited = loop.time() - started
    await ask(url, "waits")
    rows = await running.requests()

    assert waited >= 0.29
    assert rows[0]["cold_ms"] == pytest.approx(300)
    assert rows[1]["cold_ms"] == 0
    assert rows[0]["latency_ms"] == 0


async def test_a_cold_model_may_answer_503_until_it_is_warm(ask, url):
    cold = await ask(url, "says-503")
    await asyncio.sleep(0.31)

    assert (cold.status, cold.headers["Retry-After"]) == (503, "1")
    assert (await ask(url, "says-503")).status == 200


async def test_a_health_check_wakes_nobody(running, session, ask, url):
    for path in ("/healthz", "/lab/stats"):
        async with session.get(running.url("us") + path) as response:
            assert response.status == 200

    assert (await ask(url, "says-503")).status == 503


def test_the_fleet_tells_the_expected_cold_start(running):
    assert running.fleet.providers[0].cold_start == pytest.approx(0.3)
