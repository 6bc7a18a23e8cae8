"""A web endpoint as Modal serves it, on a scaled clock: no request is held longer than a leg.

A POST starts a run. What is not finished when the leg is over is answered with a 303 to the run's result URL,
which waits for another leg, and may be read as often as one likes without starting anything
(https://modal.com/docs/guide/webhook-timeouts). What goes wrong on the way is written in a `Journey`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

CALL_ID = "__modal_function_call_id"
PATH = "/v1/chat/completions"
LEG_S = 150.0
"""How long the real one holds a request."""


@dataclass(frozen=True, slots=True)
class Journey:
    """One run and what becomes of the requests for it. Legs are counted from 1, which is the POST.

    `legs` is how many legs the run takes before its answer is there. `location` makes the Location of a redirect
    from the result URL's path; None leaves the header out. `cut` legs lose their connection in the middle of the
    wait, `torn` ones in the middle of the body. `endless` redirects at once, for ever. `gone` is the status with
    which the result URL answers from leg `gone_from` on, as it does for a result that was kept too long.
    """

    legs: int = 0
    location: Callable[[str], str | None] = str
    cut: frozenset[int] = frozenset()
    torn: frozenset[int] = frozenset()
    endless: bool = False
    gone: int | None = None
    gone_from: int = 2
    error: int | None = None


@dataclass(slots=True)
class Run:
    id: str
    key: str
    journey: Journey
    model: str
    streamed: bool
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    legs: int = 0


class ModalLike:
    """`runs` counts runs by key, `seen` holds each request's method and headers, in order.

    A run takes `leg_s` for each leg of its journey, and half a leg more. `hold` keeps runs from finishing until
    `let_go`, whatever their journey says.
    """

    def __init__(self, journey: Journey | None = None, *, leg_s: float = 0.1, region: str | None = None) -> None:
        self.journey = journey or Journey()
        self.leg_s = leg_s
        self.region = region
        self.url = ""
        self.runs: Counter[str] = Counter()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._by_id: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Event()
        self._free.set()

    def answer_to(self, key: str) -> str | None:
        """The text that the run under this key answers; None where there was no run."""
        return next((_text(run) for run in self._by_id.values() if run.key == key), None)

    def hold(self) -> None:
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    async def post(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(("POST", dict(request.headers)))
        document = await request.json()
        key = request.headers.get("X-Beacon-Key", "")
        self.runs[key] += 1
        run = Run(f"fc-{len(self._by_id) + 1}", key, self.journey, document["model"], bool(document.get("stream")))
        self._by_id[run.id] = run
        task = asyncio.create_task(self._work(run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await self._leg(request, run)

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(("GET", dict(request.headers)))
        run = self._by_id.get(request.query.get(CALL_ID, ""))
        if run is None:
            return web.json_response({"error": "no such call"}, status=404)
        return await self._leg(request, run)

    async def _work(self, run: Run) -> None:
        await asyncio.sleep((run.journey.legs + 0.5) * self.leg_s if run.journey.legs else 0)
        await self._free.wait()
        run.finished.set()

    async def _leg(self, request: web.Request, run: Run) -> web.StreamResponse:
        run.legs += 1
        journey, leg = run.journey, run.legs
        if journey.endless:
            return self._redirect(run)
        if journey.gone is not None and leg >= journey.gone_from:
            return web.json_response({"error": "the result has expired"}, status=journey.gone)
        waiting = asyncio.create_task(run.finished.wait())
        await asyncio.wait({waiting}, timeout=self.leg_s / 2 if leg in journey.cut else self.leg_s)
        waiting.cancel()
        if leg in journey.cut:
            _abort(request)
            return web.Response()
        if not run.finished.is_set():
            return self._redirect(run)
        if journey.error is not None:
            return web.json_response({"error": "the function failed"}, status=journey.error)
        return await self._answer(request, run, torn=leg in journey.torn)

    def _redirect(self, run: Run) -> web.Response:
        location = run.journey.location(f"{PATH}?{CALL_ID}={run.id}")
        return web.Response(status=303, headers={} if location is None else {"Location": location})

    async def _answer(self, request: web.Request, run: Run, *, torn: bool) -> web.StreamResponse:
        body = _stream(run) if run.streamed else json.dumps(_document(run)).encode()
        kind = "text/event-stream" if run.streamed else "application/json"
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        if self.region is not None:
            headers["X-Region"] = self.region
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(body[: len(body) // 2] if torn else body)
        if torn:
            _abort(request)
        return response

    async def end(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(modal: ModalLike) -> AsyncIterator[ModalLike]:
    """Serves it on a loopback port of the system's choice; `modal.url` is its API, up to and with /v1."""
    app = web.Application()
    app.router.add_post(PATH, modal.post)
    app.router.add_get(PATH, modal.get, allow_head=False)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        modal.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield modal
    finally:
        await modal.end()
        await runner.cleanup()


def _document(run: Run) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": _text(run)}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": run.id, "object": "chat.completion", "model": run.model, "choices": [choice], "usage": usage}


def _stream(run: Run) -> bytes:
    choice = {"index": 0, "delta": {"content": _text(run)}, "finish_reason": "stop"}
    chunk = {"id": run.id, "object": "chat.completion.chunk", "model": run.model, "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()


def _text(run: Run) -> str:
    return f"The answer of run {run.id}."


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
