"""Waking by control calls, over real HTTP: what ends the hold, and what each end leaves behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from beacon.router import warming
from tests.integration.router.conftest import MODEL, Scripted, answered, ask, router_of, says

Serve = Callable[..., Awaitable[Scripted]]
CELL = (MODEL, "us")


class Listing:
    """`GET /models` that does one thing after the other, the last again and again."""

    def __init__(self, *acts: int | str) -> None:
        self._acts = list(acts)
        self.calls = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
        if act == "cut":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if act == 200:
            return web.json_response({"object": "list", "data": [{"id": MODEL}]})
        return web.json_response({"error": {"message": "not yet"}}, status=int(act))


def cold(provider: Scripted, **more: Any) -> dict[str, Any]:
    return provider.provider(**{"cold_start": "2s", "keep_warm": "prewarm", **more})


@pytest.mark.parametrize("on_the_way", [503, 303, 429, "cut"])
async def test_it_is_called_until_it_is_there(serve: Serve, on_the_way: int | str) -> None:
    listing = Listing(on_the_way, on_the_way, 200)
    provider = await serve(says(), models=listing.answer)
    async with router_of(cold(provider)) as router:
        waking = asyncio.create_task(router.prewarm([CELL]))
        await asyncio.sleep(0)
        assert router.snapshot()[0].state == "warming"
        asking = asyncio.create_task(ask(router))
        await asyncio.wait_for(waking, 60)
        answered(await asyncio.wait_for(asking, 60))
        assert router.snapshot()[0].state == "warm"
        assert (listing.calls, len(provider.requests)) == (3, 1)
        await router.prewarm([CELL])
        assert listing.calls == 3  # what is known to be warm is not called


async def test_who_waited_for_the_start_is_told_so(serve: Serve) -> None:
    provider = await serve(says(), models=Listing(503, 200).answer)
    async with router_of(cold(provider)) as router:
        waking = asyncio.create_task(router.prewarm([CELL]))
        await asyncio.sleep(0)
        outcome = answered(await asyncio.wait_for(ask(router), 60))
        await waking
    assert outcome.stages_ms["cold_start"] > 0
    assert "route" not in outcome.stages_ms


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_call_that_tells_nothing_leaves_it_to_real_requests(serve: Serve, status: int) -> None:
    provider = await serve(says(), models=Listing(status).answer)
    async with router_of(cold(provider, cold_start="600s")) as router:
        await asyncio.wait_for(router.prewarm([CELL]), 60)
        (snapshot,) = router.snapshot()
        assert snapshot.state == "unknown"
        assert f"could not be woken by a control call: answered HTTP {status}" in (snapshot.last_failure or "")
        answered(await ask(router))


async def test_one_that_nobody_reaches_is_not_waited_for(unused: int) -> None:
    fields = {"name": "us-a", "region": "us", "transport": "openai", "models": [MODEL], "keep_warm": "prewarm"}
    async with router_of({**fields, "url": f"http://127.0.0.1:{unused}/v1", "cold_start": "600s"}) as router:
        await asyncio.wait_for(router.prewarm([CELL]), 60)
        assert "connection refused" in (router.snapshot()[0].last_failure or "")


async def test_one_that_takes_longer_than_expected_is_tried_by_a_singlerequest(serve: Serve) -> None:
    provider = await serve(says(), models=Listing(503).answer)
    async with router_of(cold(provider, cold_start="200ms", concurrency=4)) as router:
        await asyncio.wait_for(router.prewarm([CELL]), 60)
        assert router.snapshot()[0].state == "cold"
        first = await router.place(*CELL)
        second = asyncio.create_task(router.place(*CELL))
        await asyncio.sleep(0.01)
        assert not second.done()
        first.release()
        (await asyncio.wait_for(second, 60)).release()
        answered(await ask(router))
        assert router.snapshot()[0].state == "warm"


@pytest.mark.parametrize("more", [{"keep_warm": "never"}, {"cold_start": 0}])
async def test_nothing_is_called_that_needs_no_waking(serve: Serve, more: dict[str, Any]) -> None:
    listing = Listing(200)
    provider = await serve(says(), models=listing.answer)
    async with router_of(cold(provider, **more)) as router:
        await router.prewarm([CELL])
    assert listing.calls == 0


async def test_opening_a_router_and_looking_at_it_calls_nobody(serve: Serve) -> None:
    listing = Listing(200)
    provider = await serve(says(), models=listing.answer)
    async with router_of(cold(provider, keep_warm="always")) as router:
        assert [p.state for p in router.snapshot()] == ["unknown"]
    assert (listing.calls, provider.requests) == (0, [])


async def test_a_window_keeps_calling_until_it_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warming, "KEEP_EVERY_S", 0.05)
    listing = Listing(200)
    provider = await serve(says(), models=listing.answer)
    async with router_of(cold(provider, keep_warm="window", warm_window="400ms")) as router:
        await router.prewarm([CELL])
        answered(await ask(router))
        while listing.calls < 3:
            await asyncio.sleep(0.02)
        assert router.snapshot()[0].state == "warm"
        await asyncio.sleep(0.6)
        ended = listing.calls
        await asyncio.sleep(0.2)
        assert listing.calls == ended
    assert len(provider.requests) == 1


@pytest.fixture
def unused() -> int:
    """A port where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
