"""One row of the fault matrix, carried out: lab, agent, proxy and router over real HTTP, on scaled time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beacon.domain.answer import Answer, Message, Outcome
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.mailbox import MailboxEntry
from beacon.domain.spec import Limits
from beacon.domain.states import ExecutionStatus
from beacon.lab.fleet import Lab
from beacon.lab.proxy import FaultProxy, fault_proxy
from beacon.mailbox.mailbox import Mailbox
from beacon.router.router import Router
from beacon.runner.policy import conclude
from tests.integration import agents
from tests.integration.faults.matrix import MODELS, NETWORK_FAULTS, PROVIDER_FAULTS, SLOW, Row
from tests.integration.router.conftest import inference, router_of

CLOCK = SystemClock()
LIMITS = Limits(max_attempts=2, on_unknown="retry")
SHORT_S = 8.0
"""The deadline of rows that end by it; all others have `LONG_S`, so that a slow machine makes no difference."""
LONG_S = 120.0
AT_ONCE = 120


@dataclass
class Told:
    """What became of a row: one outcome an attempt, in order."""

    row: Row
    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    struck: int = 0

    def key(self, attempt: int) -> str:
        return f"{self.row.name.replace('/', '.')}.{self.seed}.{attempt}"

    @property
    def keys(self) -> list[str]:
        return [self.key(number) for number in range(1, len(self.outcomes) + 1)]


class Forgetful(Mailbox):
    """Has lost every outcome by the time that somebody asks for it."""

    async def read(self, key: str, wait_s: float = 0.0) -> MailboxEntry | None:
        entry = await super().read(key, wait_s)
        return entry if entry is not None and entry.under_way else None


class Scene:
    """The lab, and one agent of each sort in front of it. Use `opened`."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self.provider_url = f"{lab.url('us')}/v1"
        self.mailboxes: dict[str, str] = {}
        self._directory = directory
        self._room = asyncio.Semaphore(AT_ONCE)
        self._gate = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def opened(cls, lab: Lab, directory: Path) -> AsyncIterator[Scene]:
        scene = cls(lab, directory)
        async with AsyncExitStack() as stack:
            for sort in ("plain", "elsewhere", "forgetful"):
                scene.mailboxes[sort] = await stack.enter_async_context(scene._agent(sort, scene.provider_url))
            yield scene

    @asynccontextmanager
    async def _agent(self, sort: str, upstream: str) -> AsyncIterator[str]:
        """The address of an agent, with `/v1`. Those that serve one row alone keep their state in memory."""
        shared = upstream == self.provider_url
        started = agents.agent(
            upstream,
            self._directory / f"{sort}.db" if shared else Path(":memory:"),
            region="eu" if sort == "elsewhere" else "us",
            models={name: name for name in MODELS},
            concurrency=1000,
            mailbox_type=Forgetful if sort == "forgetful" else Mailbox,
        )
        async with started as url:
            yield f"{url}/v1"

    @asynccontextmanager
    async def _way(self, row: Row, seed: int) -> AsyncIterator[tuple[str, FaultProxy]]:
        """The address that the router is given, and the proxy on the way."""
        sort = PROVIDER_FAULTS[row.provider_fault].get("agent", "plain")
        behind = row.transport == "agent_behind"
        target = self.mailboxes[sort] if row.transport == "agent" else self.provider_url
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(fault_proxy(target, seed=seed))
            url = await stack.enter_async_context(self._agent(sort, proxy.url)) if behind else proxy.url
            proxy.toxics, proxy.connections = NETWORK_FAULTS[row.network_fault], 0  # the agent's first look is over
            yield url, proxy

    async def run(self, row: Row, seed: int) -> Told:
        """Attempts as the runner's policy makes them."""
        told = Told(row, seed)
        async with self._room:
            async with self._gate:
                await _calm()
            async with self._way(row, seed) as (url, proxy):
                await _attempt_all(told, url)
                told.struck = sum(proxy.struck.values())
        return told


async def _calm() -> None:
    """Returns when this process keeps up with what is under way: rows start as fast as the machine allows."""
    late_s = 1.0
    while late_s > 0.05:
        due = CLOCK.monotonic() + 0.005
        await asyncio.sleep(0.005)
        late_s = CLOCK.monotonic() - due


async def _attempt_all(told: Told, url: str) -> None:
    """Where the network cuts by the clock, each attempt has a router of its own: whether the connection of the one
    before is still there to be used again would be a race."""
    row, counted, number = told.row, 0, 0
    deadline = Deadline.after(SHORT_S if row.ends_by_deadline else LONG_S, CLOCK)
    router: Router | None = None
    async with AsyncExitStack() as stack:
        while True:
            number += 1
            if router is None or row.cut_by_the_clock:
                router = await stack.enter_async_context(router_of(_provider(row, url)))
            asked = inference(
                key=told.key(number),
                attempt=number,
                model=row.model,
                messages=(Message("user", f"{row.name}, {told.seed}?"),),
            )
            placement = await router.place(asked.model, asked.region)
            outcome = await placement.send(asked, deadline)
            placement.release()
            told.outcomes.append(outcome)
            counted += isinstance(outcome, Answer) or outcome.counts
            conclusion = conclude(
                outcome, attempts=number, counted=counted, left_s=deadline.left_s(), limits=LIMITS, jitter=0.5
            )
            if conclusion.status is not ExecutionStatus.RETRYING:
                return
            await asyncio.sleep(conclusion.pause_s)


def _provider(row: Row, url: str) -> dict[str, Any]:
    transport = row.transport.partition("_")[0]
    given = {"name": "us-a", "region": "us", "transport": transport, "url": url, "models": [row.model]}
    if transport == "openai":
        given |= {"stream": row.transport == "openai_stream", "region_header": "X-Region"}
    return given | PROVIDER_FAULTS[row.provider_fault].get("fleet", {})


def described(outcome: Outcome) -> str:
    """As the table says it."""
    if isinstance(outcome, Answer):
        return "retracted answer" if outcome.retracted else "answer" if outcome.text else "empty answer"
    return f"{outcome.kind.value}@{outcome.stage.value}"


def world() -> str:
    """A world in which each model has one of the provider's faults, as a document."""
    rules: list[dict[str, Any]] = [
        {"latency": "100ms", "stream": {"tokens_per_second": 800, "tokens_per_event": 8}},
        {"when": {"models": [name for name in MODELS if name.endswith(SLOW)]}, "latency": "3s"},
    ]
    rules += [
        {"when": {"models": [name, name + SLOW]}, **fault["world"]}
        for name, fault in PROVIDER_FAULTS.items()
        if "world" in fault
    ]
    models = {name: name for name in MODELS}
    return json.dumps({"schema": "beacon.world/v1", "name": "faults", "models": models, "rules": rules})
