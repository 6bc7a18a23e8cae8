"""A gateway over scripted providers, each over real HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from beacon.cli.listening import address, listen
from beacon.domain.clock import SystemClock
from beacon.gateway.keys import Keys
from beacon.gateway.service import Server, opened
from tests.integration.router.conftest import router_of, serve

__all__ = ["serve"]
CLOCK = SystemClock()
MODEL = "alpha"


@dataclass
class Running:
    """A gateway's address, without `/v1`, and a session that speaks to it."""

    url: str
    session: aiohttp.ClientSession

    async def ask(self, region: str | None = "us", *, headers: dict[str, str] | None = None, **fields: Any):
        """Status, headers and document of a chat-completions request."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}], **fields}
        sent = ({} if region is None else {"X-Beacon-Region": region}) | (headers or {})
        async with self.session.post(f"{self.url}/v1/chat/completions", json=body, headers=sent) as response:
            return response.status, response.headers, await response.json(content_type=None)

    async def call(self, method: str, path: str, **more: Any):
        async with self.session.request(method, f"{self.url}{path}", **more) as response:
            return response.status, await response.json(content_type=None)

    async def until_over(self, key: str) -> dict[str, Any]:
        while True:
            status, entry = await self.call("GET", f"/v1/inferences/{key}?wait=20")
            assert status == 200, entry
            if entry["state"] not in {"accepted", "running"}:
                return entry


@asynccontextmanager
async def gateway(
    *providers: dict[str, Any],
    state: Path,
    keys: Keys | None = None,
    keep_s: float = 3600.0,
    max_queued: int = 1000,
    environ: dict[str, str] | None = None,
    port: int = 0,
) -> AsyncIterator[Running]:
    """Leaving it stops the gateway as SIGTERM does."""
    async with (
        router_of(*providers, environ=environ) as router,
        opened(router, state, CLOCK, keys=keys or Keys(frozenset()), keep_s=keep_s, max_queued=max_queued) as app,
        aiohttp.ClientSession() as session,
    ):
        with listen("127.0.0.1", port) as listener:
            server = Server(app)
            serving = asyncio.create_task(server.run_on(listener))
            try:
                yield Running(address(listener), session)
            finally:
                server.stop()
                await serving


@pytest.fixture
def state(tmp_path) -> Path:
    return tmp_path / "gateway.db"


Act = Callable[..., Any]
