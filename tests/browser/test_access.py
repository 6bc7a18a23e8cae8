"""What axe finds on every page, in both themes: nothing."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe

from beacon.domain.failure import FailureKind
from beacon.web.app import create_app
from tests.browser.conftest import PATIENCE_MS
from tests.integration.web.scene import FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_compare import Drifting, drifted, finding
from tests.integration.web.test_pages import REPORT
from tests.integration.web.test_runs import scheduled

pytestmark = pytest.mark.browser
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture
def app(database):
    drifting = Drifting()
    drifting.document = drifted(
        finding("difference", "alpha"), finding("undecided", "beta"), differences=("Questions: other ones.",)
    )
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, drift=drifting)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
async def test_axe_has_no_complaint_about_any_page(browser, address, database, scheme, width):
    over = await Scene.begin(database, make_spec(repeats=3, regions=["us", "eu", "apac"]))
    await over.start(over.works)
    await over.fail(over.works[:3], FailureKind.RATE_LIMITED)
    await over.answer(over.works[3:], "An answer.\u202e")
    await over.label(over.works[3:9], "refusal")
    await over.finish(REPORT)
    running = await Scene.begin(database, make_spec(repeats=14))
    await running.start(running.works[:20])
    await running.fail(running.works[:2])
    await running.owe(running.works[2:4])
    held = await Scene.begin(database, make_spec())
    await held.run(held.works)
    await held.step("analysing 1 of 4 comparisons")
    paths = ["/jobs", "/jobs/new", "/jobs/new/spec", "/fleet", "/kpis?simulated=yes", "/about", "/jobs/none"]
    paths += [f"/jobs/{over.job_id}{end}" for end in ("", "/findings", "/executions", "/spec")]
    paths += [f"/jobs/{running.job_id}", f"/jobs/{running.job_id}/findings", f"/jobs/{held.job_id}"]
    paths += [f"/executions/{over.works[0].id}", f"/executions/{over.works[5].id}"]
    schedule, ids = await scheduled(database, 3)
    paths += ["/sign-in", "/drift", f"/drift?schedule={schedule}", "/compare", f"/compare?jobs={','.join(ids)}"]
    paths += [f"/jobs/{over.job_id}/pair", f"/jobs/{over.job_id}/findings?show=disputed"]
    context = await browser.new_context(
        base_url=address, viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    found = {}
    for path in paths:
        await page.goto(path)
        results = (await Axe().run(page, options=RULES)).response
        told = [
            f"{violation['id']}: {violation['help']}: {[node['target'] for node in violation['nodes']][:3]}"
            for violation in results["violations"]
        ]
        if told:
            found[path] = told
    assert found == {}
    await context.close()
