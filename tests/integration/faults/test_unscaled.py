"""The old failure in its own time, with and without the cure: a finished answer behind a proxy that cuts.

A provider that needs 160 s behind a proxy that cuts after 150 s of silence, and one that needs 245 s behind a proxy
that cuts every connection after 238 s. All four ways are waited for at once; it takes a little more than four minutes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus
from beacon.lab.proxy import fault_proxy
from beacon.lab.toxics import Toxic
from beacon.store import executions
from tests.integration.agents import Inference, agent, completion, serving
from tests.integration.runner.conftest import Bench

TEXT = "The provider's own answer."


@dataclass(frozen=True)
class Case:
    answer_after_s: float
    cut: Toxic
    cut_at_s: float


SILENCE = Case(160.0, Toxic(kind="cut", idle=150.0), 150.0)
TOTAL = Case(245.0, Toxic(kind="cut", after=238.0), 238.0)


async def run(bench: Bench, case: Case, transport: str, state: Path) -> dict[str, Any]:
    """The one execution of a job with this case behind this transport, and how often its key was asked for."""

    async def act(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(case.answer_after_s)
        return web.json_response(completion(TEXT))

    async with (
        serving(Inference(act)) as inference,
        agent(inference.url, state) as mailbox,
        fault_proxy(inference.url if transport == "openai" else f"{mailbox}/v1", [case.cut]) as proxy,
    ):
        row = {"name": "us-a", "region": "us", "transport": transport, "url": proxy.url, "models": ["alpha"]}
        fleet = Fleet.model_validate({"providers": [row | ({"stream": False} if transport == "openai" else {})]})
        limits = {"execution_deadline": "600s", "on_unknown": "fail"}
        job = await bench.run(fleet, questions=1, repeats=1, limits=limits)
        assert job.status is JobStatus.COMPLETED
        (execution,) = await bench.database.read(executions.page, job.id)
        return {**execution, "asked": list(inference.keys.values())}


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_answers_that_proxies_cut_off_are_kept_by_the_mailbox_and_named_where_there_is_none(bench, tmp_path):
    kept, kept_too, lost, lost_too = await asyncio.gather(
        run(bench, SILENCE, "agent", tmp_path / "1.db"),
        run(bench, TOTAL, "agent", tmp_path / "2.db"),
        run(bench, SILENCE, "openai", tmp_path / "3.db"),
        run(bench, TOTAL, "openai", tmp_path / "4.db"),
    )
    for execution, case in ((kept, SILENCE), (kept_too, TOTAL)):
        assert (execution["status"], execution["answer"], execution["attempts"]) == ("completed", TEXT, 1)
        assert execution["asked"] == [1]
        assert execution["duration_ms"] == pytest.approx(1000 * case.answer_after_s, rel=0.02)
    for execution, case in ((lost, SILENCE), (lost_too, TOTAL)):
        assert (execution["status"], execution["kind"]) == ("failed", "outcome_unknown")
        assert execution["stage"] == "inference"
        assert "us-a was cut off after the request was sent" in execution["error"]
        assert "hop: router to http://127.0.0.1:" in execution["error"]
        assert f"{case.cut_at_s:.0f}." in execution["error"]
        assert "s into inference" in execution["error"]
        assert execution["duration_ms"] == pytest.approx(1000 * case.cut_at_s, rel=0.02)
        assert execution["asked"] == [1]
