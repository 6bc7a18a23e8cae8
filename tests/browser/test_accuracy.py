"""A live page against the database, while a job has faults and retries."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from beacon.domain.failure import FailureKind
from beacon.domain.states import ExecutionStatus
from beacon.store import events, jobs
from beacon.store import kpis as kpi_queries
from beacon.store.events import Event
from tests.browser.conftest import PATIENCE_MS
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_pages import REPORT

pytestmark = pytest.mark.browser
SAMPLE = """() => {
    const marks = {}, figures = {};
    for (const use of document.querySelectorAll(".mx tbody .reps use")) {
        const status = use.getAttribute("class").slice(2).replace("-", "_");
        marks[status] = (marks[status] || 0) + 1;
    }
    for (const dd of document.querySelectorAll("[data-count]")) {
        figures[dd.dataset.count] = Number(dd.firstChild.textContent.replaceAll(",", ""));
    }
    return { seq: Number(document.getElementById("live").dataset.seq), marks, figures };
}"""


WATCH = """addEventListener("DOMContentLoaded", () => {
    window.seen = [];
    const live = document.getElementById("live");
    const note = () => window.seen.push([Date.now() / 1000, Number(live.dataset.seq)]);
    new MutationObserver(note).observe(live, { attributes: true, attributeFilter: ["data-seq"] });
    note();
});"""
MOST_LAG_S, MOST_END_S = 1.0, 2.0


def strain() -> float:
    """How many processes want each core, at least 1: what a busy machine adds is no lag of the portal. Where it is
    so busy that browser and server hardly get a turn, a lag says nothing."""
    wanted = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    return wanted if wanted <= 4 else math.inf


async def until_live(page: Page) -> None:
    """The stream is open: its first message came, which every page is sent."""
    while len(await page.evaluate("window.seen")) < 2:
        await asyncio.sleep(0.02)


async def lags_s(page: Page, told: list[Event]) -> list[float]:
    """From the commit of each event until the page stood at it or beyond."""
    seen = await page.evaluate("window.seen")
    return [next(at for at, seq in seen if seq >= event.seq) - event.at for event in told]


async def drive(scene: Scene, rng: random.Random) -> AsyncIterator[None]:
    """All executions to an end, with attempts that fail and are tried again; a pause after each round."""
    open_works = list(scene.works)
    while open_works:
        some = [open_works.pop() for _ in range(min(len(open_works), rng.randint(1, 4)))]
        await scene.start(some)
        yield
        owed = some[: rng.randint(0, 1)]
        if owed and owed[0].attempts < 3:
            await scene.owe(owed)
            open_works.insert(0, owed[0])
            some = some[1:]
        failed = [work for work in some if rng.random() < 0.2]
        if failed:
            await scene.fail(failed, rng.choice([FailureKind.PROVIDER_ERROR, FailureKind.DEADLINE_EXPIRED]))
        answered = [work for work in some if work not in failed]
        if answered:
            await scene.answer(answered)


async def test_every_sample_of_the_page_is_the_database_at_its_seq(page, database):
    scene = await Scene.begin(database, make_spec(questions=5, repeats=6))
    await page.add_init_script(WATCH)
    await page.goto(f"/jobs/{scene.job_id}")
    await until_live(page)
    first = (await database.read(jobs.get, scene.job_id)).seq
    samples = [await page.evaluate(SAMPLE) async for _ in drive(scene, random.Random(7))]
    await scene.finish(REPORT)
    await expect(page.locator("#p-state")).to_contain_text("completed")
    samples.append(await page.evaluate(SAMPLE))
    held = {event.seq: event.data["counts"] for event in await database.read(events.after, scene.job_id, 0, 10_000)}
    for sample in samples:
        counts = {status.value: held[sample["seq"]][status.value] for status in ExecutionStatus}
        assert sample["figures"] == {name: counts[name] for name in sample["figures"]}, sample["seq"]
        assert sample["marks"] == {name: count for name, count in counts.items() if count}, sample["seq"]
    assert len({sample["seq"] for sample in samples}) > 3, "the page was seen while it moved"
    told = await database.read(events.after, scene.job_id, first, 10_000)
    lags = sorted(await lags_s(page, told))
    assert lags[int(0.99 * len(lags))] <= MOST_LAG_S * strain()
    assert (await lags_s(page, told[-1:]))[0] <= MOST_END_S * strain()
    last = (await database.read(jobs.get, scene.job_id)).counts
    assert samples[-1]["marks"] == {name: n for name, n in last.items() if n and name != "total"}


async def test_browsers_report_that_they_show_what_is_stored(page, database, spec):
    scene = await Scene.begin(database, spec)
    await page.goto(f"/jobs/{scene.job_id}")
    await scene.run(scene.works)
    async with page.expect_request_finished(
        lambda sent: sent.url.endswith("/measurements") and '"completed":16' in (sent.post_data or ""),
        timeout=PATIENCE_MS,
    ) as sent:
        await scene.finish(REPORT)
    told = json.loads((await sent.value).post_data)["measured"]
    assert told["counts"]["completed"] == 16
    history = await database.read(kpi_queries.history, 0.0)
    assert history.samples
    assert all(right for _, right in history.samples)
    assert history.loads_ms
