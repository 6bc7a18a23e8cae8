"""Providers on virtual time: a capacity, a latency and a state of health each, behind the real router."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beacon.domain.answer import Answer, Inference, Message, Outcome
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Fleet
from beacon.router.failures import Where, failure
from beacon.router.router import Router
from beacon.router.transports.base import Call
from tests.simulation.virtual import VirtualClock

MODEL = "alpha"


@dataclass
class Simulated:
    """A provider that serves `capacity` requests at once, in `latency_s` each, and refuses the rest with 429.

    `fails` is a kind with which it fails at once in place of answering. `asked` holds the moment of each request.
    """

    name: str
    capacity: int = 1000
    latency_s: float = 1.0
    fails: FailureKind | None = None
    http_status: int | None = None
    retry_after_s: float | None = None
    busy: int = 0
    answers: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    closed: bool = False

    async def open(self) -> None: ...

    async def close(self) -> None:
        assert not self.busy, "closed under a request"
        self.closed = True

    async def infer(self, call: Call) -> Outcome:
        clock = VirtualClock()
        assert not self.closed, "asked after it was closed"
        self.asked.append(clock.monotonic())
        if self.busy >= self.capacity:
            await asyncio.sleep(0.01)
            return self._failure(FailureKind.RATE_LIMITED, 429, self.retry_after_s)
        if self.fails is not None:
            await asyncio.sleep(0.001)
            return self._failure(self.fails, self.http_status, self.retry_after_s)
        self.busy += 1
        began = clock.wall()
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.busy -= 1
        self.answers.append(clock.monotonic())
        return _answer(self.name, began, clock.wall())

    def _failure(self, kind: FailureKind, status: int | None, retry_after_s: float | None) -> Failure:
        where = Where(self.name, Stage.INFERENCE, {"inference": 1.0})
        return failure(kind, "failed as told", where, http_status=status, retry_after_s=retry_after_s)


def _answer(name: str, began: float, ended: float) -> Answer:
    unknown: dict[str, Any] = dict.fromkeys(
        ("model_echoed", "region_stated", "upstream", "input_tokens", "output_tokens", "cost_usd")
    )
    return Answer(
        text="An answer.",
        finish_reason="stop",
        provider=name,
        region_evidence="declared",
        simulated=True,
        replayed=False,
        started_at=began,
        first_token_at=None,
        finished_at=ended,
        duration_ms=1000 * (ended - began),
        **unknown,
    )


def fleet_of(providers: Iterable[Simulated], **fields: Any) -> Fleet:
    given = {"region": "us", "transport": "openai", "url": "http://127.0.0.1:9/v1", "models": [MODEL], **fields}
    return Fleet.model_validate({"providers": [{"name": p.name, **given} for p in providers]})


def router_of(*providers: Simulated, seed: int = 1, **fields: Any) -> Router:
    """A router of one cell, `alpha` in `us`, whose requests go to the simulated providers."""
    fleet = fleet_of(providers, **fields)
    router = Router(fleet, base=Path(), environ={}, clock=VirtualClock(), rng=random.Random(seed))
    wire(router, *providers)
    return router


def wire(router: Router, *providers: Simulated) -> None:
    for provider in providers:
        router._registry.lanes[provider.name].wire.transport = provider


def inference(number: int) -> Inference:
    messages = (Message("user", f"Question {number}?"),)
    return Inference(f"e{number}.1", 1, MODEL, "us", messages, 0.7, 400, None, f"q{number}", "en", 0)


async def ask(router: Router, number: int, *, deadline_s: float = 300.0) -> Outcome:
    placement = await router.place(MODEL, "us")
    try:
        return await placement.send(inference(number), Deadline.after(deadline_s, VirtualClock()))
    finally:
        placement.release()


async def keep_asking(router: Router, at_once: int, until: float, first: int = 0) -> list[Outcome]:
    """So many loops that ask one thing after the other until then; their outcomes. A refused one pauses a little."""
    outcomes: list[Outcome] = []

    async def loop(number: int) -> None:
        while VirtualClock().monotonic() < until:
            outcome = await ask(router, first + number)
            outcomes.append(outcome)
            number += at_once
            if isinstance(outcome, Failure):
                await asyncio.sleep(0.5)

    await asyncio.gather(*(loop(number) for number in range(at_once)))
    return outcomes
