"""Charts are downloaded from the page, and the pages that compare read without scripts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from beacon.web.app import create_app
from tests.browser.conftest import PATIENCE_MS
from tests.integration.web.scene import FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_compare import Drifting, drifted, finding
from tests.integration.web.test_pages import REPORT
from tests.integration.web.test_runs import scheduled

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)
WIDER = """[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > 361)
    .map(e => e.outerHTML.slice(0, 80))"""
"""What sticks out of a phone's page."""


@pytest.fixture
def drifting() -> Drifting:
    drifting = Drifting()
    drifting.document = drifted(finding("difference", "alpha"), finding("undecided", "beta"))
    return drifting


@pytest.fixture
def app(database, drifting):
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, drift=drifting)


async def test_each_chart_is_downloaded_as_svg_png_and_csv(page, database):
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works)
    await scene.finish(REPORT)
    await page.goto(f"/jobs/{scene.job_id}/findings")
    starts = {"SVG": b"<svg", "PNG": b"\x89PNG", "CSV": b"model,region"}
    for ending, start in starts.items():
        async with page.expect_download() as downloading:
            await page.get_by_role("link", name=f"{ending} of the map").click()
        download = await downloading.value
        assert download.suggested_filename == f"{scene.job_id}-map-withheld-rate.{ending.lower()}"
        content = await asyncio.to_thread(Path(await download.path()).read_bytes)
        assert content.startswith(start)


async def test_the_map_is_described_and_drawn(page, database):
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works)
    await scene.finish(REPORT)
    await page.goto(f"/jobs/{scene.job_id}/findings")
    picture = page.get_by_role("img", name="alpha: us: no data, eu 75%")
    await expect(picture).to_be_visible()
    hatched = picture.locator("use[href='#w-us']")
    assert "p-no-data" in await hatched.evaluate("use => getComputedStyle(use).stroke")
    shaded = picture.locator("use[href='#w-eu']")
    land = picture.locator("use[href='#w-land']")
    assert await shaded.evaluate("use => getComputedStyle(use).stroke") != await land.evaluate(
        "use => getComputedStyle(use).stroke"
    )


async def test_comparisons_and_runs_read_without_scripts(browser, address, database):
    await scheduled(database, 3)
    context = await browser.new_context(base_url=address, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto("/compare")
    await page.get_by_role("link", name="Runs of a schedule over time").click()
    await page.get_by_role("link", name="Each week").click()
    await expect(page.get_by_text("p <0.001, q 0.006, n 80").first).to_be_visible()
    await page.get_by_label("Model").select_option("beta")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_role("rowheader", name="beta in eu")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="alpha in eu")).to_have_count(0)
    await page.get_by_role("link", name="Compare in full").click()
    await page.get_by_label("Model").select_option("alpha")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("alpha changed in eu.").first).to_be_visible()
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_that_compares_scrolls_sideways_on_a_phone(browser, address, complaints, database, scheme):
    schedule, ids = await scheduled(database, 4, "A name without any place to break it" + "x" * 60)
    context = await browser.new_context(base_url=address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = await context.new_page()
    complaints.listen(page, address)
    for path in ("/drift", f"/drift?schedule={schedule}", "/compare", f"/compare?jobs={','.join(ids)}", "/sign-in"):
        await page.goto(path)
        wide = await page.evaluate(WIDER)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, (path, wide)
    await context.close()
