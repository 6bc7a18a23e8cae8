"""What axe finds on every page, in both themes: nothing."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe

from beacon.domain.failure import FailureKind
from tests.browser.conftest import PATIENCE_MS
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_pages import REPORT

pytestmark = pytest.mark.browser
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


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
