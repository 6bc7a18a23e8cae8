"""Limits as providers see them: never too many at once, and Retry-After obeyed."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import web

from beacon.domain.failure import FailureKind
from tests.integration.router.conftest import MODEL, answered, ask, failed, in_turn, refuses, router_of, says


async def test_a_provider_is_never_asked_more_at_once_than_its_concurrency(serve) -> None:
    at_once: list[int] = [0]
    most: list[int] = [0]

    async def script(request: web.Request) -> web.StreamResponse:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await asyncio.sleep(0.01)
        at_once[0] -= 1
        return await says()(request)

    provider = await serve(script)
    async with router_of(provider.provider(concurrency=3)) as router:
        for outcome in await asyncio.gather(*(ask(router) for _ in range(12))):
            answered(outcome)
    assert most == [3]
    assert len(provider.requests) == 12


async def test_more_than_a_hundred_requests_are_under_way_where_the_concurrency_says_so(serve) -> None:
    """No pool of connections limits below the provider's concurrency."""
    waiting = asyncio.Barrier(130)

    async def script(request: web.Request) -> web.StreamResponse:
        await waiting.wait()
        return await says()(request)

    provider = await serve(script)
    async with router_of(provider.provider(concurrency=130)) as router:
        outcomes = await asyncio.wait_for(asyncio.gather(*(ask(router) for _ in range(130))), 60)
    assert all(answered(outcome) for outcome in outcomes)


async def test_retry_after_shows_for_as_long_as_it_holds(serve) -> None:
    provider = await serve(refuses(429, Retry_After="240"))
    async with router_of(provider.provider()) as router:
        assert failed(await ask(router)).kind is FailureKind.RATE_LIMITED
        waiting = asyncio.create_task(ask(router))
        await asyncio.sleep(0.05)
        (snapshot,) = router.snapshot()
        assert snapshot.waiting == 1
        assert snapshot.blocked_until == pytest.approx(time.time() + 240, abs=60)
        assert snapshot.blocked_why == "answered 429 with Retry-After 240.0 s"
        assert "429 with Retry-After" in router.expired_while_waiting(MODEL, "us", 0.0).message
        waiting.cancel()
    assert len(provider.requests) == 1


async def test_retry_after_stops_new_work_until_then_and_no_longer(serve) -> None:
    moments: list[float] = []
    refuse, answer = refuses(429, Retry_After="0.3"), says()

    async def script(request: web.Request) -> web.StreamResponse:
        moments.append(time.monotonic())
        return await (refuse if len(moments) == 1 else answer)(request)

    provider = await serve(script)
    async with router_of(provider.provider()) as router:
        failed(await ask(router))
        for outcome in await asyncio.wait_for(asyncio.gather(*(ask(router) for _ in range(3))), 60):
            answered(outcome)
        assert router.snapshot()[0].blocked_until is None
    assert moments[1] - moments[0] >= 0.3


async def test_a_blocked_provider_does_not_block_the_other_of_its_cell(serve) -> None:
    limited, free = await serve(refuses(429, Retry_After="600")), await serve(says())
    async with router_of(limited.provider("us-a"), free.provider("us-b")) as router:
        failed(await ask(router, avoid=frozenset({"us-b"})))
        for _ in range(20):
            assert answered(await asyncio.wait_for(ask(router), 60)).provider == "us-b"
    assert len(limited.requests) == 1


async def test_a_429_without_a_time_blocks_nothing(serve) -> None:
    provider = await serve(in_turn(refuses(429), says()))
    async with router_of(provider.provider()) as router:
        assert failed(await ask(router)).retry_after_s is None
        assert router.snapshot()[0].blocked_until is None
        answered(await ask(router))


async def test_requests_reach_exactly_their_model_and_region(serve) -> None:
    servers = {region: await serve(says(model=None)) for region in ("us", "eu", "apac")}
    models = {"alpha": "vendor/Alpha", "beta": "vendor/Beta"}
    fleet = [server.provider(f"{region}-a", region=region, models=models) for region, server in servers.items()]
    cells = [(model, region) for model in models for region in servers] * 10
    async with router_of(*fleet) as router:
        outcomes = await asyncio.gather(
            *(ask(router, key=f"{model}@{region}", model=model, region=region) for model, region in cells)
        )
    for (_, region), outcome in zip(cells, outcomes, strict=True):
        assert answered(outcome).provider == f"{region}-a"
    for region, server in servers.items():
        assert len(server.requests) == 20
        for headers, sent in server.requests:
            model, asked = headers["X-Beacon-Key"].split("@")
            assert (asked, models[model]) == (region, sent["model"])
