"""The portal over a real database: in the process for requests, on a loopback port for streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from beacon.web.app import create_app
from tests.integration.web.scene import FLEET, StoreActions

BASE = "http://127.0.0.1"


@pytest.fixture
def app(database) -> FastAPI:
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET)


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


@asynccontextmanager
async def served(app: FastAPI, port: int = 0) -> AsyncIterator[str]:
    """The address of the app on a port of this machine, a free one unless told otherwise."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    # Connections wait in the socket's queue until the server takes them, so nothing here has to wait for it.
    listening = socket.create_server(("127.0.0.1", port))
    with contextlib.ExitStack() as stack:
        # Signals are the test run's own.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr(server, "capture_signals", contextlib.nullcontext)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"{BASE}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            # As when the process dies: streams that are open are cut.
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            await task


@pytest.fixture
async def address(app) -> AsyncIterator[str]:
    async with served(app) as address:
        yield address
