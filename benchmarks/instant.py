"""What the storage benchmarks put in the place of providers and of the analyst, so that storage alone is measured."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet, parse_fleet
from beacon.domain.spec import JobSpec, parse_spec
from beacon.errors import UnavailableError
from beacon.router.router import Router
from beacon.router.transports.base import Call
from beacon.runner.analyst import Analyst
from beacon.runner.inputs import complete
from benchmarks.main_path import MODELS, REGIONS, spec

TEXT = "The square of a number is that number times itself. " * 4


class Instant:
    """A provider inside the process. It answers at once, with a text of ordinary length."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def infer(self, call: Call) -> Outcome:
        now = time.time()
        return Answer(
            text=TEXT,
            finish_reason="stop",
            provider=self._name,
            model_echoed=call.inference.model,
            region_stated=call.inference.region,
            region_evidence="stated",
            upstream=None,
            input_tokens=20,
            output_tokens=48,
            cost_usd=None,
            simulated=True,
            replayed=False,
            started_at=now,
            first_token_at=now,
            finished_at=now,
            duration_ms=0.0,
            stages_ms={"route": 0.0, "connect": 0.0, "inference": 0.0},
        )


class NoAnalyst(Analyst):
    """Stands where classification and finalizing would begin: what is measured ends before them."""

    async def start(self) -> None: ...

    async def ask(self, task: str, *args: object) -> Any:
        raise UnavailableError(f"{task} is not part of this benchmark")


def instant_fleet(slots: int) -> Fleet:
    """One simulated provider a region, which is never spoken to over a network."""
    providers = [
        {
            "name": f"{region}-instant",
            "region": region,
            "transport": "openai",
            "url": "http://127.0.0.1:9/v1",
            "models": MODELS,
            "concurrency": slots,
            "simulated": True,
        }
        for region in REGIONS
    ]
    return parse_fleet(yaml.safe_dump({"schema": "beacon.fleet/v1", "providers": providers}), "benchmark")


def wanted(executions: int, questions: int = 20) -> JobSpec:
    """A job of at least so many executions: questions x models x regions, repeated."""
    return complete(parse_spec(yaml.safe_dump(spec(executions, questions)), "benchmark"), "benchmark")


@asynccontextmanager
async def instant_router(fleet: Fleet, folder: Path, clock: Clock) -> AsyncIterator[Router]:
    """The real router over providers that answer at once."""
    async with Router(fleet, base=folder, environ={}, clock=clock) as router:
        for lane in router._registry.lanes.values():
            await lane.wire.transport.close()
            lane.wire.transport = Instant(lane.provider.name)
        yield router
