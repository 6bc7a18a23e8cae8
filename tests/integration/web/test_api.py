"""The API's contract: what it takes, what it gives, and one shape for every error."""

from __future__ import annotations

import json

import httpx
import pytest

from beacon.domain.clock import SystemClock
from beacon.errors import DatabaseError
from beacon.runner.presence import Presence
from beacon.web.app import create_app
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import FLEET, Scene, StoreActions, make_spec

SPEC = {
    "schema": "beacon.job/v1",
    "name": "Sent over HTTP",
    "questions": [{"id": "q0", "text": "Question?"}],
    "models": ["alpha"],
    "regions": ["us", "europe"],
    "repeats": 2,
}


async def test_a_submitted_json_spec_becomes_a_queued_job(client):
    response = await client.post("/api/v1/jobs", json=SPEC)
    assert response.status_code == 201
    job = response.json()
    assert response.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["status"], job["counts"]["total"], job["counts"]["pending"]) == ("queued", 4, 4)
    again = (await client.get(response.headers["location"])).json()
    assert again == job


async def test_a_yaml_spec_is_read_too(client):
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in SPEC.items())
    response = await client.post("/api/v1/jobs", content=text, headers={"Content-Type": "application/yaml"})
    assert response.status_code == 201


async def test_an_idempotency_key_makes_one_job(client):
    headers = {"Idempotency-Key": "once"}
    first = await client.post("/api/v1/jobs", json=SPEC, headers=headers)
    second = await client.post("/api/v1/jobs", json=SPEC, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert len((await client.get("/api/v1/jobs")).json()["items"]) == 1
    other = await client.post("/api/v1/jobs", json=SPEC | {"repeats": 9}, headers=headers)
    assert other.status_code == 409, "the same key with another body"
    assert first.json()["id"] in other.json()["detail"]


async def test_every_fault_of_a_spec_is_named_by_its_path(client):
    broken = SPEC | {"repeats": 0, "regions": ["us", "us"], "modles": ["alpha"]}
    response = await client.post("/api/v1/jobs", json=broken)
    problem = response.json()
    assert response.status_code == 422
    assert {fault["path"] for fault in problem["faults"]} >= {"repeats", "modles"}
    hint = next(fault["hint"] for fault in problem["faults"] if fault["path"] == "modles")
    assert "models" in hint
    assert (await client.get("/api/v1/jobs")).json()["items"] == []


async def test_a_pack_path_is_refused_on_a_server(client):
    response = await client.post("/api/v1/jobs", json=SPEC | {"questions": [{"pack": "../../etc/pack.yaml"}]})
    fault = response.json()["faults"][0]
    assert response.status_code == 422
    assert fault["path"] == "questions[0].pack"
    assert "reads no files" in fault["message"]


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("GET", "/api/v1/nothing", {}, 404),
        ("GET", "/api/v1/jobs/none", {}, 404),
        ("GET", "/api/v1/jobs/none/executions", {}, 404),
        ("GET", "/api/v1/jobs/none/events", {}, 404),
        ("GET", "/api/v1/jobs/none/report", {}, 404),
        ("GET", "/api/v1/executions/none", {}, 404),
        ("DELETE", "/api/v1/jobs", {}, 405),
        ("GET", "/api/v1/jobs?limit=0", {}, 422),
        ("GET", "/api/v1/jobs?cursor=%21%21", {}, 422),
        ("GET", "/api/v1/jobs?cursor=WzFd", {}, 422),
        ("POST", "/api/v1/jobs", {"content": "a: 1", "headers": {"Content-Type": "text/plain"}}, 415),
        ("POST", "/api/v1/jobs", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 422),
        ("POST", "/api/v1/jobs", {"content": b"\xff", "headers": {"Content-Type": "application/yaml"}}, 422),
        ("POST", "/api/v1/jobs", {"content": b"x" * 9_100_000, "headers": {"Content-Type": "application/yaml"}}, 413),
        ("POST", "/api/v1/jobs/none/retry", {"json": {"kid": "x"}}, 422),
        ("POST", "/api/v1/jobs/none/retry", {}, 404),
        ("POST", "/api/v1/jobs/none/cancel", {}, 404),
    ],
)
async def test_every_error_has_the_one_shape(client, method, path, sent, status):
    response = await client.request(method, path, **sent)
    problem = response.json()
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert {"type", "title", "status", "detail", "instance", "code", "faults"} <= problem.keys()
    assert problem["instance"] == path.partition("?")[0]
    assert problem["detail"]


async def test_lists_page_by_cursor_without_gaps_or_repeats(client, database):
    for number in range(5):
        await Scene.begin(database, make_spec(questions=1, repeats=1, name=f"Job {number}"))
    seen, cursor = [], None
    while True:
        page = (await client.get("/api/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [job["name"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"Job {number}" for number in reversed(range(5))]


async def test_executions_page_and_filter(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.answer(scene.works[:10])
    await scene.fail(scene.works[10:12])
    path = f"/api/v1/jobs/{scene.job_id}/executions"
    first = (await client.get(path, params={"limit": 9})).json()
    rest = (await client.get(path, params={"limit": 9, "cursor": first["next_cursor"]})).json()
    assert [row["ordinal"] for row in first["items"] + rest["items"]] == list(range(16))
    assert rest["next_cursor"] is None
    failed = (await client.get(path, params={"status": "failed", "kind": "provider_error"})).json()["items"]
    assert {row["id"] for row in failed} == {work.id for work in scene.works[10:12]}
    assert {row["error"] for row in failed} == {"It said no."}
    two = (await client.get(path, params={"region": ["us", "eu"], "model": "alpha"})).json()["items"]
    assert {row["model"] for row in two} == {"alpha"}
    assert len(two) == 8


async def test_an_execution_comes_with_its_attempts(client, database, spec):
    scene = await Scene.begin(database, spec)
    work = scene.works[:1]
    await scene.start(work)
    await scene.owe(work)
    await scene.run(work, "At last.")
    await scene.label(work, "substantive")
    found = (await client.get(f"/api/v1/executions/{work[0].id}")).json()
    assert (found["status"], found["answer"], found["label"], found["simulated"]) == (
        "completed", "At last.", "substantive", True,
    )  # fmt: skip
    assert [(attempt["number"], attempt["status"]) for attempt in found["attempts_made"]] == [
        (1, "failed"),
        (2, "answered"),
    ]
    assert found["attempts_made"][1]["stages_ms"]["inference"] == 1150.0


async def test_unknown_cost_is_null_and_not_zero(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:2], cost_usd=0.25)
    await scene.run(scene.works[2:3], cost_usd=None)
    job = (await client.get(f"/api/v1/jobs/{scene.job_id}")).json()
    assert (job["cost_usd"], job["cost_known_usd"], job["cost_unknown"]) == (None, 0.5, 1)


async def test_a_running_job_is_asked_to_stop_once(client, database, spec):
    scene = await Scene.begin(database, spec)
    first = await client.post(f"/api/v1/jobs/{scene.job_id}/cancel")
    second = await client.post(f"/api/v1/jobs/{scene.job_id}/cancel")
    assert (first.status_code, first.json()["asked"], second.json()["asked"]) == (202, True, False)
    assert second.json()["job"]["stop_kind"] == "cancelled"


async def test_failures_are_reopened_all_by_kind_and_one(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:3])
    await scene.owe(scene.works[3:4])
    await scene.answer(scene.works[4:])
    one = await client.post(f"/api/v1/executions/{scene.works[0].id}/retry")
    assert one.json() == {"count": 1, "generation": 1}
    assert (await client.post(f"/api/v1/jobs/{scene.job_id}/retry", json={"kind": "rate_limited"})).json()["count"] == 0
    rest = await client.post(f"/api/v1/jobs/{scene.job_id}/retry")
    assert (rest.status_code, rest.json()["count"]) == (202, 2)
    assert (await client.get(f"/api/v1/jobs/{scene.job_id}")).json()["counts"]["retrying"] == 4


async def test_what_is_completed_or_under_way_is_not_retried(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:1])
    await scene.start(scene.works[1:2])
    for work, word in ((scene.works[0], "completed"), (scene.works[1], "running"), (scene.works[2], "pending")):
        response = await client.post(f"/api/v1/executions/{work.id}/retry")
        assert response.status_code == 409
        assert word in response.json()["detail"]


async def test_a_retry_while_finalizing_is_refused_with_what_to_do(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:])
    response = await client.post(f"/api/v1/jobs/{scene.job_id}/retry")
    assert response.status_code == 409
    assert "completed" in response.json()["todo"]


async def test_a_report_is_given_as_it_was_stored(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await scene.finish({"method": "beacon.analysis/v1", "findings": [{"id": "f1", "call": "difference"}]})
    report = (await client.get(f"/api/v1/jobs/{scene.job_id}/report")).json()
    assert report["findings"] == [{"id": "f1", "call": "difference"}]
    assert (await client.get(f"/api/v1/jobs/{scene.job_id}/report?version=2")).status_code == 404


async def test_the_description_names_every_route_and_one_shape_of_errors(client):
    described = (await client.get("/api/v1/openapi.json")).json()
    assert {
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}/events",
        "/api/v1/jobs/{job_id}/report",
        "/api/v1/executions/{execution_id}/retry",
        "/readyz",
    } <= described["paths"].keys()
    assert not any(path.startswith(("/jobs", "/static")) for path in described["paths"])
    shapes = described["paths"]["/api/v1/jobs"]["get"]["responses"]["422"]["content"]
    assert shapes == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert "Problem" in described["components"]["schemas"]
    assert "HTTPValidationError" not in described["components"]["schemas"]


async def test_health_and_readiness(client, database):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ready", "waits": []}


async def test_readiness_says_why_the_database_is_away_and_what_waits_for_it(database):
    presence = Presence(SystemClock(), lambda: 3)
    app = create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, away=presence.error)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as asking:
        assert (await asking.get("/readyz")).status_code == 200
        presence.lost("a call", DatabaseError("the server cannot be reached", where="db:5432", todo="start it"))
        refused = await asking.get("/readyz")
        assert refused.status_code == 503
        assert "the server cannot be reached; 3 outcomes wait for it" in refused.text
        presence.found("a call")
        assert (await asking.get("/readyz")).status_code == 200
