"""A region that sleeps: its start is waited for, and costs no inference, no failure and no other region's time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from beacon.analysis.report import analyse
from beacon.analysis.settings import settings_of
from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus, Verdict
from beacon.lab.fleet import start_lab
from beacon.runner.admission import submit
from beacon.runner.observations import observations_of
from beacon.store import executions, jobs
from tests.integration.runner.conftest import CLOCK, Bench, spec_of
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving

WORLD = """
schema: beacon.world/v1
name: cold-eu
rules:
  - latency: 20ms
    answers: {{refusal: 0.3}}
  - when: {{regions: [eu]}}
    cold_start: {{seconds: {seconds}s, meanwhile: {meanwhile}}}
"""
COLD_START_S = 3.0
SCALE = 120
"""A cold start of 3 s here stands for one of 360 s."""


def with_policy(fleet: Fleet, policy: str) -> Fleet:
    """Those that can be cold, under the policy."""
    providers = [p.model_copy(update={"keep_warm": policy}) if p.cold_start else p for p in fleet.providers]
    return Fleet(providers=tuple(providers))


@pytest.mark.parametrize("meanwhile", ["wait", '"503"'])
async def test_a_cold_region_is_woken_without_an_inference_and_delays_no_other(
    bench: Bench, tmp_path: Path, meanwhile: str
) -> None:
    world = tmp_path / "world.yaml"
    world.write_text(WORLD.format(seconds=COLD_START_S, meanwhile=meanwhile))
    async with start_lab(str(world), regions=("us", "eu")) as lab:
        fleet = with_policy(lab.fleet, "prewarm")
        spec = spec_of(fleet, questions=6, repeats=3)
        job_id, _ = await submit(bench.database, spec, fleet, CLOCK)
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
        requests = await lab.requests()
    job = await bench.job(job_id)
    rows = await bench.database.read(executions.page, job_id)
    assert (job.status, job.verdict, job.counts["completed"]) == (JobStatus.COMPLETED, Verdict.MET, spec.total)
    # Each execution was asked exactly once: waking cost no inference, and nothing was answered 503.
    assert len(requests) == len({request["key"] for request in requests}) == spec.total
    assert {row["attempts"] for row in rows} == {1}
    assert all(request["cold_ms"] < 100 for request in requests)
    # The other region was done before the cold one began.
    last_us = max(row["finished_at"] for row in rows if row["region"] == "us")
    first_eu = min(row["started_at"] for row in rows if row["region"] == "eu")
    assert last_us < first_eu
    assert all(row["duration_ms"] < 1000 * COLD_START_S for row in rows)
    # On the scale of a real cold start, the report names it.
    observed = await observations_of(bench.database, job_id)
    origin = min(o.started_at for o in observed if o.started_at is not None)
    scaled = [
        replace(o, started_at=origin + SCALE * ((o.started_at or 0) - origin), cold_start_s=SCALE * o.cold_start_s)
        for o in observed
    ]
    found = analyse(scaled, settings_of(spec)).findings
    told = [c for f in found for c in f.caveats if "was asked" in c and "cold start" in c]
    assert told
    # On a busy machine the seconds between regions, so scaled, become hours.
    named = re.compile(r"eu was asked .*(minute|hour).*after a cold start of lab-eu of ")
    assert all(named.search(caveat) for caveat in told), told


class Sleeper(Scripted):
    """Answers 503 to everything until it was woken and its start is over; counts what came meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(self._act)
        self.seconds = seconds
        self.listed = 0
        self.too_early = 0
        self._up_at: float | None = None

    def _up(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._up_at = self._up_at or now + self.seconds
        return now >= self._up_at

    async def _act(self, _number, _body, _request) -> web.StreamResponse:
        if not self._up():
            self.too_early += 1
            return web.json_response({"error": {"message": "loading"}}, status=503)
        return answer()

    async def models(self, _request: web.Request) -> web.StreamResponse:
        self.listed += 1
        if not self._up():
            return web.json_response({"error": {"message": "loading"}}, status=503)
        return web.json_response({"object": "list", "data": [{"id": "alpha"}]})


async def test_under_never_the_first_real_requests_wake_it_and_few_come_too_early(bench: Bench) -> None:
    sleeper = Sleeper(1.0)
    async with serving(sleeper):
        job = await bench.run(fleet_of({"eu": sleeper}, cold_start="1s", concurrency=4), questions=10, repeats=4)
    assert (job.status, job.counts["completed"]) == (JobStatus.COMPLETED, 40)
    assert sleeper.listed == 0
    # The first ones at once, then one in each twentieth of the start; forty were waiting.
    assert 1 <= sleeper.too_early <= 4 + 21


async def test_only_what_the_job_still_needs_is_woken(bench: Bench) -> None:
    us, eu = Sleeper(0.1), Sleeper(0.1)
    async with serving(us, eu):
        fleet = fleet_of({"us": us, "eu": eu}, cold_start="5s", keep_warm="prewarm")
        job_id = await bench.submit(fleet.model_copy(update={"providers": fleet.providers[:1]}))
        async with bench.runner(fleet) as runner:
            await runner.drive(job_id)
    assert us.listed >= 1
    assert (eu.listed, len(eu.bodies)) == (0, 0)
    assert us.too_early == 0


async def test_a_job_that_stops_stops_waking(bench: Bench) -> None:
    sleeper = Sleeper(600.0)
    async with serving(sleeper):
        fleet = fleet_of({"eu": sleeper}, cold_start="600s", keep_warm="prewarm")
        job_id = await bench.submit(fleet)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            while not sleeper.listed:
                await asyncio.sleep(0.01)
            assert [(p.state, p.in_flight) for p in runner.router.snapshot()] == [("warming", 0)]
            runner.stop()
            await asyncio.wait_for(driving, 60)
    assert (await bench.database.read(jobs.get, job_id)).status is JobStatus.RUNNING
    assert sleeper.bodies == []
