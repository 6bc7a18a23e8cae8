"""A provider over real HTTP that does what a test tells it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from beacon.domain.fleet import Fleet


def answer(text: str = "An answer.", model: str = "alpha") -> web.Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return web.json_response(
        {"id": "x", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}
    )


class Scripted:
    """`act(number, body, request)` makes the response to the n-th request, from 1."""

    def __init__(self, act: Callable[[int, dict, web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.act = act
        self.keys: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.url = ""

    async def models(self, _request: web.Request) -> web.StreamResponse:
        """`GET /v1/models`, which costs no inference."""
        return web.json_response({"object": "list", "data": [{"id": "alpha", "object": "model"}]})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.keys[request.headers["X-Beacon-Key"]] += 1
        self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.act(len(self.bodies), body, request)
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def serving(*providers: Scripted) -> AsyncIterator[None]:
    runners = []
    for provider in providers:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", provider.handle)
        app.router.add_get("/v1/models", provider.models)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        runners.append(runner)
    try:
        yield
    finally:
        await asyncio.gather(*(runner.cleanup() for runner in runners))


def fleet_of(providers: dict[str, Scripted], **fields) -> Fleet:
    """One provider a region, each serving the model alpha, without streaming."""
    rows = [
        {"name": f"{region}-a", "region": region, "transport": "openai", "url": provider.url, "models": ["alpha"],
         "stream": False, "concurrency": 4, **fields}
        for region, provider in providers.items()
    ]  # fmt: skip
    return Fleet.model_validate({"providers": rows})
