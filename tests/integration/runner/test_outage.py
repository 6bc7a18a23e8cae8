"""Providers of a cell that fail, one or all of them: what is asked of them, and what becomes of the executions."""

from __future__ import annotations

import asyncio

from aiohttp import web

from beacon.domain.fleet import Fleet
from beacon.runner import budget
from beacon.runner.budget import FLOOR, RATIO, TRICKLE_S
from beacon.runner.explain import explain
from beacon.store.executions import Filter, page
from tests.integration.runner.conftest import CLOCK
from tests.integration.runner.scripted import Scripted, answer, serving


async def fails(number: int, body: dict, request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": {"message": "out of order"}}, status=500)


async def answers(number: int, body: dict, request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(0.01)
    return answer()


def cell_of(*providers: Scripted, **fields) -> Fleet:
    rows = [
        {"name": f"us-{'abc'[n]}", "region": "us", "transport": "openai", "url": provider.url, "models": ["alpha"],
         "stream": False, "concurrency": 8, **fields}
        for n, provider in enumerate(providers)
    ]  # fmt: skip
    return Fleet.model_validate({"providers": rows})


async def rows_of(bench, job_id: str) -> list[dict]:
    return await bench.database.read(page, job_id, after=-1, limit=1000, chosen=Filter())


async def test_a_full_outage_gets_a_fifth_more_than_the_first_attempts_and_a_floor(bench) -> None:
    cell = [Scripted(fails), Scripted(fails), Scripted(fails)]
    began = CLOCK.monotonic()
    async with serving(*cell):
        job = await bench.run(cell_of(*cell), questions=20, repeats=10, limits={"execution_deadline": "6s"})
    asked = sum(len(provider.bodies) for provider in cell)
    trickled = (CLOCK.monotonic() - began) / TRICKLE_S
    assert 200 < asked <= (1 + RATIO) * 200 + FLOOR + trickled + 1
    rows = await rows_of(bench, job.id)
    assert {row["status"] for row in rows} <= {"failed", "timed_out"}
    waited = [row for row in rows if row["status"] == "timed_out"]
    assert len(waited) > 100
    for words in ("waited", "s for the retry budget", "out of order"):
        assert words in waited[0]["error"]


async def test_what_waited_for_the_budget_is_answered_once_a_provider_is_back(bench, monkeypatch) -> None:
    monkeypatch.setattr(budget, "TRICKLE_S", 1.0)
    began: list[float] = []

    async def heals(number: int, body: dict, request: web.Request) -> web.StreamResponse:
        began.append(CLOCK.monotonic())
        return await (fails if began[-1] < began[0] + 4 else answers)(number, body, request)

    provider = Scripted(heals)
    async with serving(provider):
        job = await bench.run(cell_of(provider), questions=10, repeats=10, limits={"execution_deadline": "60s"})
    rows = await rows_of(bench, job.id)
    assert [row["status"] for row in rows] == ["completed"] * 100


async def test_a_dead_provider_of_a_cell_costs_no_execution_and_the_choice_is_explained(bench) -> None:
    dead, good, other = Scripted(fails), Scripted(answers), Scripted(answers)
    async with serving(dead, good, other):
        fleet = cell_of(dead, good, other)
        job_id = await bench.submit(fleet, questions=20, repeats=10)
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
            changes = runner.router.changes()
    rows = await rows_of(bench, job_id)
    assert [row["status"] for row in rows] == ["completed"] * 200
    assert len(dead.bodies) <= 5 + 8  # five that showed it, and what was under way beside the fifth
    (ejected,) = [change for change in changes if change.kind == "ejected"]
    assert ejected.provider == "us-a"
    assert "out of order" in ejected.why
    told = await explain(bench.database, rows[-1]["id"], CLOCK.wall())
    assert "of 3" in (told.attempts[-1].chosen or "")
