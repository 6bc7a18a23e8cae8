"""Agents over scripted inference servers, all over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from beacon.agent.served import Served
from beacon.agent.server import create_app
from beacon.agent.upstream import Upstream
from beacon.agent.worker import InferenceServer
from beacon.domain.clock import SystemClock
from beacon.mailbox.mailbox import Mailbox
from beacon.mailbox.state import open_state

CLOCK = SystemClock()


def completion(text: str = "An answer.", model: str = "alpha") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "x", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage}


@dataclass
class Inference:
    """A scripted inference server. `act` answers a request; `keys` counts how often each key was asked."""

    act: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    models: list[str] = field(default_factory=lambda: ["alpha"])
    url: str = ""
    keys: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    aborted: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.keys[request.headers["X-Beacon-Key"]] += 1
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return web.json_response(completion()) if self.act is None else await self.act(request)
        except asyncio.CancelledError:
            self.aborted.set()
            raise
        finally:
            self.in_flight -= 1

    async def list_models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})


@asynccontextmanager
async def serving(inference: Inference) -> AsyncIterator[Inference]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", inference.answer)
    app.router.add_get("/v1/models", inference.list_models)
    async with site(app, handler_cancellation=True) as url:
        inference.url = f"{url}/v1"
        yield inference


@asynccontextmanager
async def agent(
    upstream_url: str,
    state: Path,
    *,
    region: str = "us",
    models: dict[str, str] | None = None,
    concurrency: int = 8,
    keep_s: float = 3600.0,
    max_queued: int = 1000,
    key: str | None = None,
    port: int = 0,
    mailbox_type: type[Mailbox] = Mailbox,
) -> AsyncIterator[str]:
    """The agent's address, without `/v1`. Leaving it stops the agent as SIGTERM does."""
    opened = await open_state(state)
    try:
        async with Upstream(upstream_url, None, CLOCK) as upstream:
            served = Served(region, models or {}, upstream)
            await served.look()
            server = InferenceServer(served, upstream, concurrency)
            async with (
                mailbox_type(opened, server, CLOCK, keep_s=keep_s, max_queued=max_queued) as mailbox,
                site(create_app(mailbox, server, key), port=port, before_end=mailbox.close) as url,
            ):
                yield url
    finally:
        await opened.close()


@asynccontextmanager
async def site(
    app: web.Application,
    *,
    port: int = 0,
    handler_cancellation: bool = False,
    before_end: Callable[[], None] | None = None,
) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=handler_cancellation)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        if before_end is not None:
            before_end()
        await runner.cleanup()


class Client:
    """Speaks the contract as any HTTP client would; use `async with`."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self._url = url
        self._headers = headers or {}

    async def __aenter__(self) -> Client:
        self._session = aiohttp.ClientSession(headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def put(self, key: str, body: dict[str, Any] | None = None, **changes: Any) -> tuple[int, dict[str, Any]]:
        return await self._ask("PUT", key, json={**submission(), **(body or {}), **changes})

    async def get(self, key: str, wait: float | str = 0) -> tuple[int, dict[str, Any]]:
        return await self._ask("GET", key, params={"wait": str(wait)})

    async def until_over(self, key: str) -> dict[str, Any]:
        while True:
            status, entry = await self.get(key, 20)
            assert status == 200, entry
            if entry["state"] not in {"accepted", "running"}:
                return entry

    async def delete(self, key: str) -> tuple[int, dict[str, Any]]:
        return await self._ask("DELETE", key)

    async def healthz(self) -> dict[str, Any]:
        async with self._session.get(f"{self._url}/healthz") as response:
            assert response.status == 200
            return await response.json()

    async def raw(self, key: str, data: bytes | io.BytesIO) -> tuple[int, dict[str, Any]]:
        return await self._ask("PUT", key, data=data)

    async def _ask(self, method: str, key: str, **more: Any) -> tuple[int, dict[str, Any]]:
        async with self._session.request(method, f"{self._url}/v1/inferences/{key}", **more) as response:
            return response.status, json.loads(await response.read())


def submission(**fields: Any) -> dict[str, Any]:
    request = {"messages": [{"role": "user", "content": "Why?"}], "temperature": 0.7, "stream": True}
    return {"region": "us", "model": "alpha", "request": request, "deadline_ms": 60_000, **fields}
