"""Scripted providers: real aiohttp servers on loopback that do as each test says and count what they got."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from beacon.domain.answer import Answer, Inference, Message, Outcome
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure
from beacon.domain.fleet import Fleet
from beacon.router.router import Router

Script = Callable[[web.Request], Awaitable[web.StreamResponse]]
MODEL = "alpha"


@dataclass
class Scripted:
    """A provider's server. `requests` holds the headers and documents received, in order."""

    script: Script
    url: str = ""
    requests: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.json()))
        return await self.script(request)

    def provider(self, name: str = "us-a", **fields: Any) -> dict[str, Any]:
        given = {"name": name, "region": "us", "transport": "openai", "url": self.url, "models": [MODEL]}
        return {**given, "stream": False, **fields}


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[Scripted]]]:
    runners: list[web.AppRunner] = []

    async def start(script: Script, models: Script | None = None) -> Scripted:
        scripted = Scripted(script)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", scripted.handle)
        if models is not None:
            app.router.add_get("/v1/models", models)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        scripted.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return scripted

    yield start
    for runner in runners:
        await runner.cleanup()


def router_of(*providers: dict[str, Any], base: Path = Path(), environ: dict[str, str] | None = None) -> Router:
    fleet = Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": list(providers)})
    return Router(fleet, base=base, environ=environ or {})


def inference(**fields: Any) -> Inference:
    given: dict[str, Any] = {
        "key": "att_1",
        "attempt": 1,
        "model": MODEL,
        "region": "us",
        "messages": (Message("system", "Be brief."), Message("user", "Où est 台湾?")),
        "temperature": 0.7,
        "max_tokens": 400,
        "top_p": None,
        "question_id": "q1",
        "language": "en",
        "repeat": 0,
    }
    return Inference(**{**given, **fields})


async def ask(
    router: Router, *, deadline_s: float = 30.0, avoid: frozenset[str] = frozenset(), **fields: Any
) -> Outcome:
    """Places, sends and releases one inference."""
    asked = inference(**fields)
    placement = await router.place(asked.model, asked.region, avoid=avoid)
    try:
        return await placement.send(asked, Deadline.after(deadline_s, SystemClock()))
    finally:
        placement.release()


async def ask_once(provider: dict[str, Any], **more: Any) -> Outcome:
    async with router_of(provider) as router:
        return await ask(router, **more)


def failed(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def answered(outcome: Outcome) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome


def document(content: str | None = "Hello", finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": 500}
    return {"id": "x", "model": MODEL, "choices": [choice], "usage": usage, **more}


def event(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"model": MODEL, "choices": [choice], **more}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def says(content: str | None = "Hello", *, headers: dict[str, str] | None = None, **more: Any) -> Script:
    """Answers with a document."""

    async def script(request: web.Request) -> web.StreamResponse:
        return web.json_response(document(content, **more), headers=headers)

    return script


def refuses(status: int, body: Any = None, **headers: str) -> Script:
    async def script(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(
            {"error": {"message": "no room"}} if body is None else body, status=status, headers=named
        )

    return script


def streams(*pieces: bytes, then: str = "end", pause_s: float = 0.0) -> Script:
    """Writes the pieces, then ends cleanly ("end"), or by "cut" or "reset" of the connection, or not ("hang")."""

    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(pause_s)
        if then in {"cut", "reset"}:
            _cut(request, reset=then == "reset")
        elif then == "hang":
            await asyncio.Event().wait()
        return response

    return script


def in_turn(*scripts: Script) -> Script:
    """Each request gets the next script; the last one stays."""
    left = list(scripts)

    async def script(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    return script


async def cuts(request: web.Request) -> web.StreamResponse:
    """Takes the request and cuts the connection."""
    _cut(request)
    return web.Response()


async def hangs(request: web.Request) -> web.StreamResponse:
    """Takes the request and never answers."""
    await asyncio.Event().wait()
    return web.Response()


async def resets(request: web.Request) -> web.StreamResponse:
    """Takes the request and resets the connection."""
    _cut(request, reset=True)
    return web.Response()


def _cut(request: web.Request, *, reset: bool = False) -> None:
    assert request.transport is not None
    if reset:
        linger = struct.pack("ii", 1, 0)  # closing then sends RST in place of FIN
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    request.transport.abort()
