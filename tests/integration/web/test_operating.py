"""What operators do over HTTP: pauses, limits, stragglers, schedules."""

from __future__ import annotations

import pytest

from beacon.domain.clock import SystemClock
from beacon.store import events, schedules
from beacon.web.access import Role
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_access import bearer, browser
from tests.integration.web.test_api import SPEC

API = "/api/v1"


async def told_by_operators(database, job_id: str) -> list[tuple[str, str | None]]:
    found = await database.read(events.after, job_id, 0)
    return [(event.data["what"], event.data.get("why")) for event in found if event.kind == "operator"]


async def test_a_region_is_paused_and_resumed_and_open_jobs_tell_of_it(client, database):
    scene = await Scene.begin(database, make_spec())
    paused = await client.put(f"{API}/pauses/eu", json={"why": "asked to"})
    assert (paused.status_code, paused.json()["name"], paused.json()["why"]) == (200, "eu", "asked to")
    assert [one["name"] for one in (await client.get(f"{API}/pauses")).json()["items"]] == ["eu"]
    assert (await client.put(f"{API}/pauses/eu", json={})).status_code == 409
    assert (await client.delete(f"{API}/pauses/eu")).status_code == 204
    assert (await client.get(f"{API}/pauses")).json()["items"] == []
    assert (await client.delete(f"{API}/pauses/eu")).status_code == 404
    assert await told_by_operators(database, scene.job_id) == [("paused", "asked to"), ("resumed", None)]


async def test_a_pause_needs_no_body_and_an_unknown_name_is_refused(client):
    assert (await client.put(f"{API}/pauses/us-a")).json()["why"] == "no reason given"
    assert (await client.put(f"{API}/pauses/mars")).status_code == 404
    assert (await client.put(f"{API}/limits/mars", json={"at_most": 1})).status_code == 404


async def test_a_limit_is_set_replaced_and_lifted(client, database):
    scene = await Scene.begin(database, make_spec())
    for at_most in (4, 2):
        limited = await client.put(f"{API}/limits/us-a", json={"at_most": at_most, "why": "others need it"})
        assert (limited.status_code, limited.json()["at_most"]) == (200, at_most)
    assert [one["at_most"] for one in (await client.get(f"{API}/limits")).json()["items"]] == [2]
    assert "us-a limited to 2 at once" in (await client.get(f"/jobs/{scene.job_id}")).text
    assert (await client.put(f"{API}/limits/us-a", json={"at_most": 0})).status_code == 422
    assert (await client.delete(f"{API}/limits/us-a")).status_code == 204
    assert (await client.delete(f"{API}/limits/us-a")).status_code == 404
    assert [what for what, _ in await told_by_operators(database, scene.job_id)] == ["limited", "limited", "unlimited"]


async def test_stragglers_are_ended_with_a_reason(client, database):
    scene = await Scene.begin(database, make_spec())
    ended = await client.post(f"{API}/jobs/{scene.job_id}/end-stragglers", json={"why": "down since noon"})
    assert (ended.status_code, ended.json()["asked"], ended.json()["job"]["stop_kind"]) == (202, True, "straggler")
    again = await client.post(f"{API}/jobs/{scene.job_id}/end-stragglers")
    assert again.json()["asked"] is False
    stops = [event.data for event in await database.read(events.after, scene.job_id, 0)]
    assert [data["why"] for data in stops if data.get("what") == "stop"] == ["down since noon"]
    assert (await client.post(f"{API}/jobs/none/end-stragglers")).status_code == 404


async def test_a_schedule_is_added_listed_read_and_ended(client, database):
    made = await client.post(f"{API}/schedules", json={"cron": "0 6 * * *", "spec": SPEC})
    assert made.status_code == 201
    schedule = made.json()
    assert (schedule["name"], schedule["seed"], schedule["last"]) == ("Sent over HTTP", None, None)
    assert [one["id"] for one in (await client.get(f"{API}/schedules")).json()["items"]] == [schedule["id"]]
    standing = (await database.read(schedules.active))[0]
    job = standing.spec, ("{}", "{}", "")
    await database.write(schedules.fire, standing.id, schedule["next"], None, job, SystemClock().wall())
    assert (await client.delete(f"{API}/schedules/{schedule['id']}")).status_code == 204
    ticks = (await client.get(f"{API}/schedules/{schedule['id']}/ticks")).json()["items"]
    assert ticks == [{"at": schedule["next"], "job_id": None, "status": None}]
    assert (await client.get(f"{API}/schedules")).json()["items"] == []
    assert (await client.get(f"{API}/schedules/none/ticks")).status_code == 404


async def test_a_seed_in_a_scheduled_spec_is_that_of_every_run(client):
    made = await client.post(f"{API}/schedules", json={"cron": "0 6 * * *", "spec": SPEC | {"seed": 9}})
    assert made.json()["seed"] == 9


async def test_faults_of_a_schedule_are_named(client):
    assert (await client.post(f"{API}/schedules", json={"cron": "daily", "spec": SPEC})).status_code in (400, 422)
    broken = await client.post(f"{API}/schedules", json={"cron": "0 6 * * *", "spec": SPEC | {"repeats": 0}})
    assert broken.status_code == 422
    assert "repeats" in {fault["path"] for fault in broken.json()["faults"]}
    assert (await client.get(f"{API}/schedules")).json()["items"] == []


CHANGES = [
    ("PUT", "/pauses/eu", {}),
    ("DELETE", "/pauses/eu", None),
    ("PUT", "/limits/eu", {"at_most": 2}),
    ("DELETE", "/limits/eu", None),
    ("POST", "/schedules", {"cron": "0 6 * * *", "spec": SPEC}),
    ("DELETE", "/schedules/a-schedule", None),
]


@pytest.mark.parametrize(("method", "path", "sent"), CHANGES)
async def test_the_fleet_and_schedules_are_operators_business(database, method, path, sent):
    async with browser(database) as client:
        refused = await client.request(method, API + path, json=sent, headers=bearer(Role.SUBMITTER))
        allowed = await client.request(method, API + path, json=sent, headers=bearer(Role.OPERATOR))
    assert refused.status_code == 403
    assert allowed.status_code in (200, 201, 404)


async def test_who_may_cancel_a_job_may_end_its_stragglers(database):
    scene = await Scene.begin(database, make_spec())
    path = f"{API}/jobs/{scene.job_id}/end-stragglers"
    async with browser(database) as client:
        assert (await client.post(path, headers=bearer(Role.VIEWER))).status_code == 403
        assert (await client.post(path, headers=bearer(Role.SUBMITTER))).status_code == 202
