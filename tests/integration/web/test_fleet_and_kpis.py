"""The pages of those who run Beacon, and what browsers report to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from beacon.domain.failure import FailureKind
from beacon.store import jobs, pauses
from beacon.store import kpis as kpi_queries
from beacon.web.access import Role
from beacon.web.app import create_app
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import CLOCK, FLEET, Scene, StoreActions
from tests.integration.web.test_access import KEYS, browser, sign_in
from tests.integration.web.test_guard import token_in
from tests.integration.web.test_pages import AProvider


@dataclass(frozen=True)
class AChange:
    at: float
    provider: str
    what: str
    why: str


LOWERED = AChange(1_800_000_000.0, "us-a", "has a limit of 3", "it answered 429")


async def test_the_measures_stand_on_what_was_recorded(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1], FailureKind.DEADLINE_EXPIRED)
    await scene.fail(scene.works[1:2])
    await scene.answer(scene.works[2:], simulated=False)
    await scene.finish()
    history = await database.read(kpi_queries.history, 0.0)
    [job] = history.jobs
    assert (job.completed, job.failed, job.timed_out, len(job.durations_ms)) == (14, 1, 1, 14)
    stored = await database.read(jobs.get, scene.job_id)
    assert job.gap_s == (stored.barrier_gap_ms + stored.finalizing_ms) / 1000
    assert job.took_s == stored.completed_at - stored.created_at
    page = (await client.get("/kpis")).text
    assert "87.5%" in page
    assert "6.25%" in page
    assert f"/jobs/{scene.job_id}" in page


async def test_simulated_jobs_count_only_where_they_are_asked_for(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await scene.finish()
    assert "No job with real providers ended" in (await client.get("/kpis")).text
    asked = (await client.get("/kpis?simulated=yes&last=24+hours")).text
    assert "1 job, 16 executions" in asked
    assert "Jobs of simulated and replayed providers are counted here" in asked


async def test_what_a_page_shows_is_judged_by_the_server(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works[:4])
    job = await database.read(jobs.get, scene.job_id)
    await scene.answer(scene.works[:4])
    live = {"kind": "live", "job_id": scene.job_id, "seq": job.seq, "counts": {"running": 4, "pending": 12}}
    for measured in (
        live,
        live | {"counts": {"running": 3, "pending": 13}},
        live | {"seq": 10_000},
        {"kind": "portal_load_ms", "value": 120.5},
    ):
        assert (await client.post("/measurements", json={"measured": measured})).status_code == 204
    history = await database.read(kpi_queries.history, 0.0)
    assert [right for _, right in history.samples] == [True, False]
    assert [ms for _, ms in history.loads_ms] == [120.5]
    for refused in ({"kind": "portal_load_ms", "value": -1}, {"kind": "other"}, live | {"counts": {"done": 1}}):
        assert (await client.post("/measurements", json={"measured": refused})).status_code == 422


async def test_the_fleet_says_how_each_provider_is_and_does(database, spec):
    at = CLOCK.wall() + 60
    told = [
        AProvider("us-a", "us", state="warm", in_flight=3, waiting=2),
        AProvider("eu-a", "eu", state="cold", last_failure="It <b>broke</b>."),
        AProvider("apac-a", "apac", state="ejected", blocked_why="was ejected", blocked_until=at),
    ]
    actions = StoreActions(database)
    app = create_app(database, actions=actions, fleet=lambda: FLEET, snapshot=lambda: told, changes=lambda: [LOWERED])
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    us = [work for work in scene.works if work.execution.region == "us"]
    await scene.fail(us[:2])
    await scene.answer(us[2:])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        page = (await client.get("/fleet")).text
        assert "25.0%" in page
        assert "2 of 8" in page
        assert "It &lt;b&gt;broke&lt;/b&gt;." in page
        assert "was ejected" in page
        assert "has a limit of 3" in page
        assert "it answered 429" in page
        row = re.search(r'<tr><th scope="row">apac-a.*?</tr>', page, re.S)[0]
        assert row.count("unknown") >= 3, "nothing ended there"
        assert "Prewarm" not in page, "these providers have no cold start"
        form = {"token": token_in(page)}
        await client.post("/fleet/eu-a/prewarm", data=form)
        assert actions.prewarmed == ["eu-a"]
        back = f"/jobs/{scene.job_id}"
        assert f'formaction="/fleet/us-a/pause" name="back" value="{back}"' in (await client.get(back)).text
        moved = await client.post("/fleet/us-a/pause", data=form | {"back": back})
        assert moved.headers["location"] == back
        assert actions.paused == {"us-a": "paused in the portal"}
        moved = await client.post("/fleet/us-a/resume", data=form | {"back": "//evil.example"})
        assert moved.headers["location"] == "/fleet"
        assert actions.paused == {}
        assert (await client.post("/fleet/us-a/pause", data={})).status_code == 403


async def test_a_region_is_paused_with_a_reason_and_only_its_own_button_resumes_it(database):
    told = [AProvider("us-a", "us", state="paused"), AProvider("eu-a", "eu")]
    actions = StoreActions(database)
    app = create_app(database, actions=actions, fleet=lambda: FLEET, snapshot=lambda: told)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        form = {"token": token_in((await client.get("/fleet")).text)}
        await client.post("/fleet/us/pause", data=form | {"why": "a cable <b>broke</b>"})
        assert actions.paused == {"us": "a cable <b>broke</b>"}
        page = (await client.get("/fleet")).text
        assert "paused: a cable &lt;b&gt;broke&lt;/b&gt;" in page
        assert re.findall(r'action="/fleet/([a-z-]+/resume)"', page) == ["us/resume"]
        assert "paused with us" in page
        again = await client.post("/fleet/us/pause", data=form)
        assert (again.status_code, "is paused already" in again.text) == (409, True)
        await client.post("/fleet/us/resume", data=form)
        assert actions.paused == {}


async def test_who_paused_a_provider_is_part_of_the_reason(database):
    async with browser(database) as client:
        await sign_in(client, KEYS[Role.OPERATOR])
        form = {"token": token_in((await client.get("/fleet")).text)}
        await client.post("/fleet/us-a/pause", data=form | {"why": "it is slow"})
        await client.post("/fleet/eu-a/pause", data=form)
    said = {pause.name: pause.why for pause in await database.read(pauses.current)}
    assert said == {"us-a": "operator-ann: it is slow", "eu-a": "operator-ann: paused in the portal"}


async def test_without_a_router_the_fleet_is_unknown_not_well(client):
    page = (await client.get("/fleet")).text
    assert "how providers stand now is unknown here" in page
    assert "warm</span>" not in page
