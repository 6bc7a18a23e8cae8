"""Simulated providers: what they do with an inference, and their own log of it, which the checker believes.

An answer's text is unlike any other's, so that one that stands in the wrong place is known.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yarl import URL

from beacon.domain.fleet import Provider
from beacon.domain.mailbox import MailboxState
from tests.simulation.network import Reply, Request, json_reply
from tests.simulation.processes import Process
from tests.simulation.scenario import SPELLINGS, Rates

if TYPE_CHECKING:
    from tests.simulation.world import World

HOLD_S = 3.0
"""How long a Modal-like endpoint holds a request before it redirects."""
STOP = "stop"


@dataclass
class Run:
    """One inference as the provider did it. Times are on the virtual clock.

    `region` and `model` are where and of what it really was; `text` is None where it came to no answer.
    """

    key: str
    provider: str
    region: str
    model: str
    received_at: float
    fate: str
    finished_at: float | None = None
    text: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def good(self) -> bool:
        """An answer that belongs to the cell that it was asked for."""
        return self.text is not None and self.fate in ("fine", "slow", "empty", "hidden")


class Server:
    """What all kinds of providers share; the log is `runs`, `sends` and `deliveries`."""

    def __init__(self, provider: Provider, world: World) -> None:
        self.provider = provider
        self.world = world
        self.rng = random.Random(f"provider/{world.scenario.seed}/{provider.name}")
        self.runs: dict[str, Run] = {}
        self.began_at = world.loop.time()

    def asked(self, method: str, url: URL, process: Process | None) -> None:
        """A request is on its way, whatever becomes of it."""
        if method == "GET" and process is not None:
            self.world.asked.add((process.name, self.provider.name, url.name))

    def sent(self, request: Request) -> None:
        """The body left the process; a moment that only the network knows."""
        assert request.key is not None
        self.world.record_send(self, request)

    async def handle(self, request: Request) -> Reply:
        if request.url.path.endswith("/models"):
            return self._cold() or json_reply(200, {"data": [{"id": m} for m in self.provider.models.values()]})
        return await self.serve(request)

    async def serve(self, request: Request) -> Reply:
        raise NotImplementedError

    def _cold(self) -> Reply | None:
        if self.world.loop.time() < self.began_at + self.provider.cold_start * 0.8:
            return json_reply(503, {"error": "starting"})
        return None

    def begin(self, request: Request) -> Run:
        key = request.key or ""
        self.world.received(self, key)
        fate = self._fate(self.world.rates)
        region = self.provider.region
        if fate == "other_region":
            region = next(name for name in SPELLINGS if name != region)
        asked = request.document["model"]
        model = next(own for own, theirs in self.provider.models.items() if theirs == asked)
        if fate == "other_model":
            model = f"not-{model}"
        run = Run(key, self.provider.name, region, model, self.world.loop.time(), fate)
        self.runs[key] = run
        self.world.tell("begins", self.provider.name, key, fate)
        return run

    def _fate(self, rates: Rates) -> str:
        drawn = self.rng.random()
        for name in (
            *("error_500", "error_429", "error_503", "slow", "other_region", "other_model", "empty", "nothing"),
            *("truncated", "redirect", "broke_off"),
        ):
            drawn -= getattr(rates, name)
            if drawn < 0:
                return name
        # One answer in ten is in a form that must not be mistaken: an alias of the model, of the region.
        return "hidden" if self.rng.random() < 0.1 else "fine"

    async def work(self, run: Run) -> None:
        await asyncio.sleep(self.rng.uniform(5, 15) if run.fate == "slow" else self.rng.uniform(0.02, 1.5))
        run.finished_at = self.world.loop.time()
        if run.fate in ("fine", "slow", "hidden", "other_region", "other_model", "truncated", "broke_off"):
            run.text = f"{run.key} of {run.model} in {run.region} by {run.provider}"
        elif run.fate == "empty":
            run.text = ""
        run.over.set()
        self.world.tell("ends", self.provider.name, run.key, run.fate)

    def reply(self, run: Run, sender: Process | None) -> Reply:
        """The whole answer of a chat-completions endpoint."""
        error = {"error_500": 500, "error_429": 429, "error_503": 503}.get(run.fate)
        headers = {"X-Region": self.stated_region(run)}
        if error is not None:
            more = {"Retry-After": f"{self.rng.uniform(0.2, 2):.2f}"} if error != 500 else {}
            return json_reply(error, {"error": {"message": "no"}}, headers | more)
        if run.fate == "redirect":
            return Reply(303, [], headers | self.rng.choice(({}, {"Location": "http://elsewhere.invalid/r"})))
        if run.fate == "nothing":
            return Reply(200, [], headers)
        chunks = self._stream(run) if self.provider.stream else self._document(run)
        reply = Reply(200, chunks, headers)
        if run.good:
            reply.delivered = lambda: self.world.record_delivery(run, sender)
        return reply

    def stated_region(self, run: Run) -> str:
        return SPELLINGS[run.region][-1 if run.fate == "hidden" else 0]

    def stated_model(self, run: Run) -> str:
        if run.fate == "hidden" and run.model == self.world.scenario.models[0]:
            return "maker/alpha-2409"
        return self.provider.models.get(run.model, run.model)

    def document(self, run: Run) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": run.text}, "finish_reason": STOP}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        return {"model": self.stated_model(run), "choices": [choice], "usage": usage}

    def _document(self, run: Run) -> list[tuple[float, bytes]]:
        body = json.dumps(self.document(run)).encode()
        if run.fate == "truncated":
            return [(0.0, body[: len(body) // 2])]
        if run.fate == "broke_off":
            return [(0.0, b'{"error": {"message": "out of memory"}}')]
        half = len(body) // 2
        return [(0.0, body[:half]), (self.rng.uniform(0, 0.2), body[half:])]

    def _stream(self, run: Run) -> list[tuple[float, bytes]]:
        def chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return f"data: {json.dumps({'model': self.stated_model(run), 'choices': [choice]})}\n\n".encode()

        text = run.text or ""
        parts = [(0.0, chunk({"content": text[:9]})), (self.rng.uniform(0, 0.3), chunk({"content": text[9:]}))]
        if run.fate == "truncated":
            return parts
        if run.fate == "broke_off":
            return [*parts, (0.0, b'event: error\ndata: {"message": "out of memory"}\n\n')]
        return [*parts, (0.0, chunk({}, STOP) + b"data: [DONE]\n\n")]


class Plain(Server):
    """Keeps nothing: one request, one answer."""

    async def serve(self, request: Request) -> Reply:
        cold = self._cold()
        run = self.begin(request)
        if cold is not None:
            run.fate = "cold"
            return cold
        await self.work(run)
        return self.reply(run, request.sender)


class ModalLike(Server):
    """Redirects whoever waits for longer than `HOLD_S` to where the result is kept."""

    def __init__(self, provider: Provider, world: World) -> None:
        super().__init__(provider, world)
        self._kept: dict[str, Run] = {}

    async def serve(self, request: Request) -> Reply:
        if request.method == "POST":
            cold = self._cold()
            run = self.begin(request)
            if cold is not None:
                run.fate = "cold"
                return cold
            self.world.loop.in_world(self.work(run))
            name = f"{len(self._kept):06d}"
            self._kept[name] = run
        else:
            name = request.url.name
            if name not in self._kept or self.rng.random() < self.world.rates.forgotten:
                self._kept.pop(name, None)
                return json_reply(404, {"error": "gone"})
            run = self._kept[name]
        try:
            async with asyncio.timeout(HOLD_S):
                await run.over.wait()
        except TimeoutError:
            return Reply(303, [], {"Location": f"/results/{name}", "X-Region": self.provider.region})
        return self.reply(run, request.sender)


class MailboxLike(Server):
    """Takes work by its key and keeps the answer under it."""

    async def serve(self, request: Request) -> Reply:
        key = request.url.name
        if request.url.path == "/healthz":
            return self._cold() or json_reply(200, {"region": self.provider.region, "models": {}})
        run = self.runs.get(key)
        if request.method == "PUT":
            known = run is not None
            if run is None:
                run = self.begin(request)
                self.world.loop.in_world(self.work(run))
            return json_reply(200 if known else 202, self._entry(run))
        if run is None:
            return json_reply(404, {"error": {"kind": "unknown_key", "stage": "fetch", "message": "no such key"}})
        if request.method == "DELETE":
            return json_reply(200, self._entry(run))
        return await self._read(run, request)

    async def _read(self, run: Run, request: Request) -> Reply:
        with_others = [other for other in self.runs.values() if other.good and other.key != run.key]
        if with_others and self.rng.random() < self.world.rates.misrouted:
            return json_reply(200, self._entry(self.rng.choice(with_others)))
        try:
            async with asyncio.timeout(request.wait_s):
                await run.over.wait()
        except TimeoutError:
            return json_reply(200, self._entry(run))
        if run.finished_at is not None and self.rng.random() < self.world.rates.forgotten / 5:
            run.fate = "forgotten"
        reply = json_reply(200, self._entry(run))
        if run.good:
            reply.delivered = lambda: self.world.record_delivery(run, request.sender)
        return reply

    def _entry(self, run: Run) -> dict[str, Any]:
        asked = self.provider.models[run.model.removeprefix("not-")]
        entry: dict[str, Any] = {"key": run.key, "region": self.stated_region(run), "model": asked, "stages_ms": {}}
        if run.finished_at is None:
            return {**entry, "state": MailboxState.RUNNING}
        entry["finished_ago_ms"] = 1000 * (self.world.loop.time() - run.finished_at)
        entry["stages_ms"] = {"queue": 0.0, "inference": 1000 * (run.finished_at - run.received_at)}
        if run.fate == "forgotten":
            error = {"kind": "result_lost", "stage": "fetch", "message": "the result is gone"}
            return {**entry, "state": MailboxState.LOST, "error": error}
        if run.fate in ("fine", "slow", "hidden", "empty", "other_region", "other_model"):
            return {**entry, "state": MailboxState.DONE, "response": self.document(run)}
        status = {"error_500": 500, "error_429": 429, "error_503": 503}.get(run.fate)
        kind = "rate_limited" if status == 429 else "provider_error" if status else "protocol_error"
        error = {"kind": kind, "stage": "inference", "message": f"it came to {run.fate}", "http_status": status}
        return {**entry, "state": MailboxState.FAILED, "error": error}


def build(provider: Provider, world: World) -> Server:
    kinds: dict[str, type[Server]] = {"openai": Plain, "agent": MailboxLike, "modal": ModalLike}
    return kinds[provider.transport](provider, world)
