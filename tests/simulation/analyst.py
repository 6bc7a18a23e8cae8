"""The analyst process of a simulation: it reads what the real one reads, and its report says what it saw."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from beacon.errors import UnavailableError
from beacon.store import evidence
from tests.simulation.processes import Process

if TYPE_CHECKING:
    from tests.simulation.world import World


class SimulatedAnalyst:
    """In the place of `beacon.runner.analyst.Analyst`, one for each process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._rng = random.Random(f"analyst/{world.scenario.seed}/{process.name}")

    async def start(self) -> None:
        await asyncio.sleep(0.1)

    async def ask(self, task: str, *args: Any) -> Any:
        await asyncio.sleep(self._rng.uniform(0.01, 0.5))
        if self._rng.random() < self._world.rates.analyst:
            raise UnavailableError(f"the analysis process ended twice while it worked on {task!r}")
        tasks: dict[str, Callable[..., Awaitable[Any]]] = {
            "classify": self._classify,
            "report_document": self._report,
            "receipts_page": self._receipts,
            "seal": self._seal,
        }
        return await tasks[task](*args)

    async def _classify(self, texts: list[Any]) -> list[Any]:
        return [("answer", 0.9, None, "") for _ in texts]

    async def _report(self, _url: str, job_id: str) -> dict[str, Any]:
        self._world.finalizing(self._process, job_id)
        return {"method": "simulated", "seen": self._world.digest(job_id)}

    async def _receipts(self, _url: str, job_id: str, after: int) -> dict[str, Any]:
        rows = await self._world.disk.database.read(evidence.facts, job_id, after=after)
        lines = [(row.execution_id, json.dumps([row.status, row.attempt_key, row.answer])) for row in rows]
        return {"lines": lines, "last": rows[-1].ordinal if rows else after}

    async def _seal(self, _url: str, sealing: dict[str, Any]) -> dict[str, str]:
        kept = self._world.disk.rows(
            "SELECT document_json FROM receipts WHERE generation = ? AND execution_id LIKE ? ORDER BY execution_id",
            sealing["generation"],
            f"{sealing['job_id']}-%",
        )
        lines = "\n".join(row["document_json"] for row in kept)
        return {"envelope": hashlib.sha256(lines.encode()).hexdigest(), "proof": "simulated"}
