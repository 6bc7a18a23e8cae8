"""What other sites, other names and other pages cannot do."""

from __future__ import annotations

import re

import pytest

from beacon.store import jobs
from tests.integration.web.scene import Scene


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "",
        "[::1",
        "127.0.0.1/theme?",
        "127.0.0.1#",
        "127.0.0.1@evil.example",
        "evil@127.0.0.1",
        "127.0.0.1:80:80",
    ],
)
async def test_only_loopback_names_are_answered(client, host):
    response = await client.get("/jobs", headers={"Host": host})
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:9000"])
async def test_loopback_names_are_answered_at_any_port(client, host):
    assert (await client.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_pages_of_other_sites_change_nothing(client, database, spec, headers):
    scene = await Scene.begin(database, spec)
    form = {"token": token_in((await client.get("/jobs")).text)}
    for path in (f"/jobs/{scene.job_id}/cancel", f"/api/v1/jobs/{scene.job_id}/cancel"):
        response = await client.post(path, data=form, headers=headers)
        assert response.status_code == 403
    assert (await database.read(jobs.get, scene.job_id)).stop_kind is None


async def test_a_form_needs_the_token_of_its_browser(client, database, spec):
    scene = await Scene.begin(database, spec)
    path = f"/jobs/{scene.job_id}/cancel"
    page = await client.get(f"/jobs/{scene.job_id}")
    assert (await client.post(path, data={})).status_code == 403
    assert (await client.post(path, data={"token": "guessed"})).status_code == 403
    assert (await database.read(jobs.get, scene.job_id)).stop_kind is None
    done = await client.post(path, data={"token": token_in(page.text)}, headers={"Origin": "http://127.0.0.1"})
    assert (done.status_code, done.headers["location"]) == (303, f"/jobs/{scene.job_id}")
    assert (await database.read(jobs.get, scene.job_id)).stop_kind == "cancelled"


async def test_the_token_without_its_cookie_is_worth_nothing(client, database, spec):
    scene = await Scene.begin(database, spec)
    token = token_in((await client.get("/jobs")).text)
    client.cookies.clear()
    assert (await client.post(f"/jobs/{scene.job_id}/cancel", data={"token": token})).status_code == 403


async def test_cookies_are_out_of_reach_for_scripts_and_other_sites(client):
    response = await client.get("/jobs")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    again = await client.get("/jobs")
    assert "set-cookie" not in again.headers
    assert token_in(again.text) == token_in(response.text)


@pytest.mark.parametrize("path", ["/jobs", "/about", "/jobs/none", "/api/v1/jobs", "/api/v1/none", "/healthz"])
async def test_every_answer_carries_the_policy(client, path):
    headers = (await client.get(path)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


async def test_pages_hold_no_inline_style_no_inline_script_and_no_foreign_address(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await scene.finish()
    for path in (
        "/jobs",
        "/jobs/new",
        "/about",
        *(f"/jobs/{scene.job_id}{end}" for end in ("", "/executions", "/spec")),
    ):
        page = (await client.get(path)).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
        assert not re.search(r"<script(?![^>]*\ssrc=)", page)
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', page)


async def test_static_files_are_kept_for_ever_under_their_hash_only(client):
    page = (await client.get("/jobs")).text
    address = re.search(r'href="(/static/[^"]+portal\.css)"', page)[1]
    current = await client.get(address)
    assert "immutable" in current.headers["cache-control"]
    assert current.headers["content-encoding"] == "gzip"
    old = await client.get("/static/0123456789abcdef/portal.css")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    for missing in ("nothing.css", "../app.py", "..%2f..%2fapp.py", "built/manifest.json"):
        assert (await client.get(f"/static/x/{missing}")).status_code == 404


async def test_the_theme_is_kept_and_leads_back_to_this_server_only(client):
    token = token_in((await client.get("/jobs?q=x")).text)
    form = {"token": token, "theme": "dark", "back": "/jobs?q=x"}
    response = await client.post("/theme", data=form)
    assert response.headers["location"] == "/jobs?q=x"
    assert 'data-theme="dark"' in (await client.get("/jobs")).text
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "evil"):
        response = await client.post("/theme", data=form | {"back": elsewhere})
        assert response.headers["location"] == "/jobs"
    await client.post("/theme", data=form | {"theme": '"><script>'})
    assert 'data-theme="dark"' in (await client.get("/jobs")).text
