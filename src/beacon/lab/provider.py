"""One simulated provider as HTTP sees it: the OpenAI chat-completions API, and `/lab/` for what was sent."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiohttp import web

from beacon.domain.clock import SystemClock
from beacon.lab.completion import BadRequestError, ChatRequest, error_body, error_type, read_request
from beacon.lab.emission import Emission, emission
from beacon.lab.knowledge import Asked, QuestionBook
from beacon.lab.request_log import RequestLog, Row
from beacon.lab.script import Script, Scriptwriter
from beacon.lab.sockets import reset
from beacon.lab.station import TurnedAway
from beacon.lab.world import Fault

MAX_KEY_LENGTH = 200
SMALL_BODY = 4096
ENDED_BY_CLOSING = frozenset({"reset", "cut", "hang", "stall"})
"""Outcomes that can only end with the connection, so that its end says nothing about the client."""
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A request's body, read."""

    request: ChatRequest
    asked: Asked
    prompt: str


class SimulatedProvider:
    """Handles the requests to one region. `api_key` None means that anyone may ask."""

    def __init__(self, writer: Scriptwriter, book: QuestionBook, log: RequestLog, api_key: str | None) -> None:
        self._writer = writer
        self._book = book
        self._log = log
        self._authorization = None if api_key is None else f"Bearer {api_key}".encode()
        self._clock = SystemClock()
        self._started_at = self._reset_at = self._clock.monotonic()
        self._stations = writer.stations(self._clock)
        self._read_small = lru_cache(maxsize=2048)(self._read_new)
        self._routes: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/chat/completions"): self._complete,
            ("GET", "/v1/models"): self._models,
            ("GET", "/healthz"): self._health,
            ("GET", "/lab/requests"): self._requests,
            ("GET", "/lab/stats"): self._stats,
            ("POST", "/lab/reset"): self._reset,
        }

    @property
    def region(self) -> str:
        return self._writer.region

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get((request.method, request.path))
        if handler is not None:
            return await handler(request)
        allowed = [method for method, path in self._routes if path == request.path]
        if allowed:
            return self._error(405, f"use {allowed[0]}", headers={"Allow": ", ".join(allowed)})
        return self._error(404, f"no such address: {request.path}")

    # -- the OpenAI API

    async def _complete(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._authorised(request):
            return self._error(401, "the API key is wrong or missing", code="invalid_api_key")
        try:
            reading = self._read(await request.read())
        except BadRequestError as fault:
            return self._error(400, str(fault), param=fault.param)
        model = self._writer.model_named(reading.request.model)
        if model is None:
            message = f"the model {reading.request.model!r} does not exist here"
            return self._error(404, message, code="model_not_found", param="model")
        return await self._answer(request, reading, model)

    async def _answer(self, request: web.BaseRequest, reading: Reading, model: str) -> web.StreamResponse:
        row = self._row(request, reading, model)
        self._log.opened(row)
        station = self._stations[model]
        try:
            wait_s = station.enter()
            if isinstance(wait_s, TurnedAway):
                return self._turned_away(row, wait_s)
            try:
                row.cold_ms = wait_s * 1000
                number = self._log.number(row)
                script = self._writer.write(model, reading.request, reading.asked, reading.prompt, number, row.attempt)
                self._log.scripted(row, script.total_s * 1000)
                return await self._perform(request, reading.request, row, script, wait_s)
            finally:
                station.leave()
        except asyncio.CancelledError:
            if row.outcome not in ENDED_BY_CLOSING:
                row.outcome = "client_left"
            raise
        except ConnectionError:
            row.outcome = "client_left"
            return web.Response(status=499)
        finally:
            self._log.closed(row)

    async def _perform(
        self, request: web.BaseRequest, asked: ChatRequest, row: Row, script: Script, wait_s: float
    ) -> web.StreamResponse:
        row.outcome = script.fault.kind if script.fault is not None else script.outcome
        started = self._clock.monotonic() + wait_s
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        if script.fault is not None and script.fault.kind in {"error", "reset", "hang", "redirect"}:
            return await self._fail_at_once(request, row, script.fault)
        row.status = 200
        headers = self._headers(script.region, script.upstream)
        headers["Content-Type"] = "text/event-stream; charset=utf-8" if asked.stream else "application/json"
        sent = emission(script, asked.stream, asked.include_usage)
        if not asked.stream and sent.ending == "end":
            await self._sleep_until(started + sent.last_s)
            return web.Response(body=b"".join(sent.parts), headers=headers)
        return await self._send(request, headers, sent, started)

    async def _fail_at_once(self, request: web.BaseRequest, row: Row, fault: Fault) -> web.StreamResponse:
        if fault.kind == "reset":
            reset(request.transport)
        if fault.kind in {"reset", "hang"}:
            await _silence()
        if fault.kind == "redirect":
            row.status = 303
            return web.Response(
                status=303, headers={"Location": "/v1/results", **self._headers(self.region, "beacon-lab")}
            )
        row.status = fault.status
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return self._error(fault.status, fault.message, headers=headers)

    async def _send(
        self, request: web.BaseRequest, headers: dict[str, str], sent: Emission, started: float
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        if sent.length is None:
            response.enable_chunked_encoding()
        else:
            response.content_length = sent.length
        await self._sleep_until(started + sent.first_s)
        await response.prepare(request)
        for moment, part in sent.due():
            await self._sleep_until(started + moment)
            await response.write(part)
        if sent.ending == "reset":
            reset(request.transport)
        if sent.ending != "end":
            await _silence()
        await response.write_eof()
        return response

    async def _models(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._authorised(request):
            return self._error(401, "the API key is wrong or missing", code="invalid_api_key")
        waits = [station.wake() for station in self._stations.values()]
        for turned in waits:
            if isinstance(turned, TurnedAway):
                return self._error(turned.status, turned.message, headers=_come_again(turned))
        await asyncio.sleep(max(wait for wait in waits if not isinstance(wait, TurnedAway)))
        names = self._writer.world.models.values()
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "beacon-lab"} for name in names]
        return self._json({"object": "list", "data": data})

    # -- what only a lab has

    async def _health(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._json({"status": "ok", "region": self.region, "simulated": True})

    async def _requests(self, request: web.BaseRequest) -> web.StreamResponse:
        return self._json(self._log.dump(self.region))

    async def _stats(self, request: web.BaseRequest) -> web.StreamResponse:
        about = {
            "region": self.region,
            "world": self._writer.world.name,
            "seed": self._writer.seed,
            "pid": os.getpid(),
            "uptime_s": self._clock.monotonic() - self._started_at,
            "simulated": True,
        }
        return self._json(about | self._log.stats())

    async def _reset(self, request: web.BaseRequest) -> web.StreamResponse:
        """Back to the state at the start: nothing counted, models cold, buckets full."""
        self._log.reset()
        self._stations = self._writer.stations(self._clock)
        self._reset_at = self._clock.monotonic()
        return self._json({"reset": True})

    # -- parts

    def _read(self, body: bytes) -> Reading:
        """Raises BadRequestError. A job asks the same a few times over: small bodies are read once."""
        return self._read_small(body) if len(body) <= SMALL_BODY else self._read_new(body)

    def _read_new(self, body: bytes) -> Reading:
        request = read_request(body)
        return Reading(request, self._book.look_up(request.question), request.prompt)

    def _row(self, request: web.BaseRequest, reading: Reading, model: str) -> Row:
        headers = request.headers
        key = headers.get("X-Beacon-Key")
        return Row(
            at_ms=round((self._clock.monotonic() - self._reset_at) * 1000, 3),
            key=None if key is None else key[:MAX_KEY_LENGTH],
            attempt=_whole(headers.get("X-Beacon-Attempt")) or 1,
            deadline_ms=_whole(headers.get("X-Beacon-Deadline-Ms")),
            model=model,
            question=None if reading.asked.question is None else reading.asked.question.id,
            language=reading.asked.language,
            prompt=reading.prompt,
            stream=reading.request.stream,
        )

    def _turned_away(self, row: Row, turned: TurnedAway) -> web.Response:
        row.status = turned.status
        row.outcome = "rate_limited" if turned.status == 429 else "cold"
        return self._error(turned.status, turned.message, headers=_come_again(turned))

    def _authorised(self, request: web.BaseRequest) -> bool:
        given = request.headers.get("Authorization", "").encode()
        return self._authorization is None or hmac.compare_digest(given, self._authorization)

    def _headers(self, region: str, upstream: str) -> dict[str, str]:
        return {"X-Region": region, "X-Upstream": upstream, "X-Beacon-Simulated": "true"}

    def _json(self, value: dict[str, Any]) -> web.Response:
        headers = self._headers(self.region, "beacon-lab")
        return web.Response(body=json.dumps(value).encode(), content_type="application/json", headers=headers)

    def _error(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> web.Response:
        marks = self._headers(self.region, "beacon-lab") | (headers or {})
        body = error_body(message, error_type(status), code, param)
        return web.Response(status=status, body=body, content_type="application/json", headers=marks)

    async def _sleep_until(self, moment: float) -> None:
        left = moment - self._clock.monotonic()
        if left > 0:
            await asyncio.sleep(left)


def _come_again(turned: TurnedAway) -> dict[str, str]:
    return {} if turned.retry_after is None else {"Retry-After": str(turned.retry_after)}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 18 else None


async def _silence() -> None:
    """Until the connection is closed, which cancels the handler."""
    await asyncio.Event().wait()
