"""Every address that changes something, found in the application itself: none is open to who may not use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from beacon.store import jobs
from beacon.web.access import Role
from beacon.web.app import create_app
from beacon.web.gate import SIGN_IN
from beacon.web.guard import SAFE
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import FLEET, Scene, StoreActions
from tests.integration.web.test_access import KEYS, access_keys, bearer, browser, sign_in
from tests.integration.web.test_guard import token_in

FOR_ALL = {SIGN_IN, "/sign-out", "/theme", "/measurements"}
"""What changes nothing of the server's but the browser's own session and theme, and what a page measures of itself."""


def changing(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of every route that is not only read."""
    for route in routes_of(app):
        for method in sorted((route.methods or set()) - SAFE):
            yield method, route.path


def routes_of(app: FastAPI) -> list[APIRoute]:
    """Those of routers that were included too, which FastAPI, from some version on, keeps as they are."""
    included = [getattr(route, "original_router", None) for route in app.routes]
    known = [*app.routes, *(route for router in included if router is not None for route in router.routes)]
    found = [route for route in known if isinstance(route, APIRoute)]
    assert len(found) > 40
    return found


def filled(path: str, scene: Scene) -> str:
    """With what stands in braces replaced by what is there, or by something that is not."""
    values = {"job_id": scene.job_id, "execution_id": scene.works[0].id, "name": "us-a", "what": "pause"}
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: values.get(found[1], "none"), path)


@pytest.fixture
async def scene(database, spec) -> Scene:
    return await Scene.begin(database, spec)


def application(database) -> FastAPI:
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, keys=access_keys())


async def test_a_viewer_changes_nothing_at_any_address(database, scene):
    paths = [(method, path) for method, path in changing(application(database)) if path not in FOR_ALL]
    assert len(paths) >= 10
    before = await database.read(jobs.get, scene.job_id)
    async with browser(database) as client:
        await sign_in(client, KEYS[Role.VIEWER])
        form = {"token": token_in((await client.get("/fleet")).text)}
        for method, path in paths:
            here = filled(path, scene)
            answer = await client.request(method, here, data=form)
            assert answer.status_code == 403, here
            assert "takes the role" in answer.text, here
            program = await client.request(method, here, headers=bearer(Role.VIEWER))
            assert program.status_code == 403, here
    assert await database.read(jobs.get, scene.job_id) == before


async def test_a_submitter_does_nothing_to_the_fleet(database, scene):
    async with browser(database) as client:
        await sign_in(client, KEYS[Role.SUBMITTER])
        form = {"token": token_in((await client.get("/fleet")).text)}
        for method, path in changing(application(database)):
            if not path.startswith(("/jobs", "/executions", "/api/v1/jobs", "/api/v1/executions")):
                here = filled(path, scene)
                answer = await client.request(method, here, data=form)
                assert (answer.status_code == 403) is (path not in FOR_ALL), here


async def test_nobody_without_a_key_changes_anything(database, scene):
    async with browser(database) as client:
        for method, path in changing(application(database)):
            answer = await client.request(method, filled(path, scene))
            assert answer.status_code in (401, 403), path


async def test_a_form_without_the_browser_s_token_is_refused_at_any_address(client, app, database, scene):
    """Programs send no cookies of a browser, so what stands under `/api` takes none; a browser sends it the site
    from which it was asked, and another site's page is refused there."""
    before = await database.read(jobs.get, scene.job_id)
    await client.get("/jobs")
    for method, path in changing(app):
        here = filled(path, scene)
        if path != "/measurements" and not path.startswith("/api/"):
            for form in ({}, {"token": "guessed"}):
                assert (await client.request(method, here, data=form)).status_code == 403, here
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await client.request(method, here, headers=headers)).status_code == 403, here
    assert await database.read(jobs.get, scene.job_id) == before


async def test_what_is_read_changes_nothing(database, scene):
    """A link, a picture or a preview of another page may ask for any address that is read."""
    actions = StoreActions(database)
    app = create_app(database, actions=actions, fleet=lambda: FLEET)
    await scene.run(scene.works[:1])
    before = await database.read(jobs.get, scene.job_id)
    endless = ("/live", "/events")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        for route in routes_of(app):
            if "GET" in (route.methods or ()) and not route.path.endswith(endless) and "{version}" not in route.path:
                await client.get(filled(route.path, scene))
    assert await database.read(jobs.get, scene.job_id) == before
    assert len(await database.read(jobs.list_page, limit=10)) == 1
    assert (actions.prewarmed, actions.paused) == ([], {})
