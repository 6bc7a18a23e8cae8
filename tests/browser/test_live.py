"""The live page through what a job may go through: a long finalizing, a retry, a cancel, a server that is killed."""

from __future__ import annotations

import asyncio
import re
import time

import pytest
from playwright.async_api import Page, expect

from beacon.domain.failure import FailureKind
from beacon.domain.states import JobStatus, Verdict
from beacon.store import executions, jobs, reports
from tests.browser.conftest import PATIENCE_MS
from tests.browser.test_portal import marks, until_seq
from tests.integration.cli.conftest import beacon, ready
from tests.integration.runner.scripted import Scripted, answer, serving
from tests.integration.web.scene import CLOCK, Scene, make_spec
from tests.integration.web.test_pages import REPORT

__all__ = ["beacon", "ready"]

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)
ACTIVE = """() => document.getAnimations()
    .filter((one) => one.playState === "running" && one.effect.target.closest(".march")).length"""
STEPS = [f"{word} {n} of 4 {what}" for word, what in (("analysing", "comparisons"), ("sealing", "receipts"))
         for n in range(1, 5)]  # fmt: skip


async def is_finalizing(page: Page, step: str) -> None:
    """The message, the step that is under way, and bars that move: of the job, of its regions and of its models."""
    await expect(page.get_by_role("heading", name="Finalizing results…")).to_be_visible()
    await expect(page.locator("#p-finalizing")).to_contain_text(step.partition(" ")[2])
    await expect(page.locator("#p-state")).to_contain_text("finalizing")
    for bar in ("#p-total", "#p-finalizing", "#r-0", "#m-0"):
        assert await page.locator(f"{bar} .march").count() == 1, (bar, step)
    assert await page.evaluate(ACTIVE) >= 4, step


@pytest.mark.parametrize("held_s", [0, pytest.param(60, marks=pytest.mark.slow)])
async def test_a_finalizing_that_is_held_is_seen_all_the_while_in_every_tab(page, context, database, spec, held_s):
    scene = await Scene.begin(database, spec)
    await page.goto(f"/jobs/{scene.job_id}")
    await scene.run(scene.works)
    second = await context.new_page()
    await second.goto(f"/jobs/{scene.job_id}")
    until = time.monotonic() + held_s
    while True:
        for step in STEPS:
            await scene.step(step)
            await page.bring_to_front()
            await is_finalizing(page, step)
        await page.reload()
        await is_finalizing(page, STEPS[-1])
        await second.bring_to_front()
        await is_finalizing(second, STEPS[-1])
        if time.monotonic() > until:
            break
    await scene.finish(REPORT)
    for tab in (page, second):
        await tab.bring_to_front()
        await expect(tab.locator("#p-state")).to_contain_text("completed")
        await expect(tab.get_by_role("heading", name="Finalizing results…")).to_have_count(0)


async def reads_everywhere(page: Page, database, scene: Scene, counts: dict[str, int], status: str) -> None:
    """Database, API and page say the same of the job, as a whole and execution by execution."""
    await until_seq(page, database, scene.job_id)
    stored = await database.read(jobs.get, scene.job_id)
    told = await (await page.request.get(f"/api/v1/jobs/{scene.job_id}")).json()
    listed = await (await page.request.get(f"/api/v1/jobs/{scene.job_id}/executions")).json()
    by_status: dict[str, int] = {}
    for row in listed["items"]:
        by_status[row["status"]] = by_status.get(row["status"], 0) + 1
    assert {name: count for name, count in stored.counts.items() if count and name != "total"} == counts
    assert {name: count for name, count in told["counts"].items() if count and name != "total"} == counts
    assert by_status == counts
    assert await marks(page) == counts
    assert (stored.status.value, told["status"]) == (status, status)
    await expect(page.locator("#p-state")).to_contain_text(status)


async def test_a_retry_reads_the_same_in_database_api_and_page_at_every_stage(page, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:])
    await scene.finish(REPORT)
    failed = scene.works[0].id
    await page.goto(f"/jobs/{scene.job_id}")
    await reads_everywhere(page, database, scene, {"failed": 1, "completed": 15}, "completed")
    await page.get_by_role("button", name="Retry 1", exact=True).click()
    await expect(page.locator("#p-state")).to_contain_text("running")
    await reads_everywhere(page, database, scene, {"retrying": 1, "completed": 15}, "running")
    await scene.take_shards(spec)
    retried = next(work for work in reversed(scene.works) if work.id == failed)
    retried.attempts = 1
    await scene.start([retried])
    await reads_everywhere(page, database, scene, {"running": 1, "completed": 15}, "running")
    await scene.answer([retried])
    await reads_everywhere(page, database, scene, {"completed": 16}, "finalizing")
    await scene.finish(REPORT)
    await reads_everywhere(page, database, scene, {"completed": 16}, "completed")
    assert (await database.read(executions.get, failed))["status"] == "completed"
    assert (await (await page.request.get(f"/api/v1/executions/{failed}")).json())["status"] == "completed"
    await page.goto(f"/executions/{failed}")
    await expect(page.locator(".sub .s-completed")).to_be_visible()


async def test_a_cancelled_job_reads_so_everywhere(page, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:6])
    await scene.start(scene.works[6:])
    await page.goto(f"/jobs/{scene.job_id}")
    await page.get_by_role("button", name="Cancel job").click()
    await expect(page.locator("#p-strips")).to_contain_text("Stopping")
    await scene.fail(scene.works[6:], FailureKind.CANCELLED)
    await database.write(reports.finish_job, scene.job_id, JobStatus.CANCELLED, Verdict.UNMET, CLOCK.wall())
    await reads_everywhere(page, database, scene, {"completed": 6, "cancelled": 10}, "cancelled")
    await expect(page.locator("#p-deeds")).to_contain_text("cancelled")
    await expect(page.get_by_role("link", name="Run again")).to_be_visible()


async def test_the_last_ones_are_ended_with_a_reason_that_updates_do_not_take_away(page, database):
    scene = await Scene.begin(database, make_spec(repeats=10))
    await scene.start(scene.works)
    await scene.answer(scene.works[:77])
    await page.goto(f"/jobs/{scene.job_id}")
    await page.get_by_label("Why").fill("apac has been down since noon")
    await scene.answer(scene.works[77:78])
    await until_seq(page, database, scene.job_id)
    assert await page.evaluate("document.activeElement.id") == "f-why"
    await page.get_by_label("Why").press("Enter")
    await expect(page.locator("#p-strips")).to_contain_text("straggler")
    await expect(page.locator("#p-deeds")).to_contain_text("apac has been down since noon")
    assert (await database.read(jobs.get, scene.job_id)).stop_kind == "straggler"


async def test_a_page_goes_on_by_itself_after_its_server_was_killed(browser, ready):
    """A real server and a real job: what was under way when it was killed is asked again by the next one."""
    gate = asyncio.Event()

    async def act(number, body, request):
        if number > 4:
            await gate.wait()
        return answer()

    us, eu = Scripted(act), Scripted(act)
    async with serving(us, eu):
        ready.write_fleet(us, eu)
        ready.write_spec(repeats=4, limits={"on_unknown": "retry"})
        first, address = await start(ready, "0")
        page = await browser.new_page(base_url=address)
        document = (ready.folder / "spec.yaml").read_text()
        made = await page.request.post("/api/v1/jobs", data=document, headers={"Content-Type": "application/yaml"})
        job_id = (await made.json())["id"]
        await page.goto(f"/jobs/{job_id}")
        await expect(page.locator("#p-facts")).to_contain_text("8 of 16")
        first.kill()
        await first.wait()
        await expect(page.locator("#lost")).to_be_visible()
        assert (await marks(page))["completed"] == 8
        second, _ = await start(ready, address.rpartition(":")[2])
        await expect(page.locator("#lost")).to_be_hidden()
        gate.set()
        await expect(page.locator("#p-state")).to_contain_text("completed")
        assert await marks(page) == {"completed": 16}
        told = await (await page.request.get(f"/api/v1/jobs/{job_id}")).json()
        assert (told["status"], told["counts"]["completed"]) == ("completed", 16)
        await page.close()
        second.terminate()
        await second.communicate()


async def start(ready, port: str) -> tuple[asyncio.subprocess.Process, str]:
    """A `beacon serve` on that port, and its address."""
    process = await ready.start("serve", "--fleet", "fleet.yaml", "--port", port)
    while (found := re.search(r"http://[0-9.:]+", line := (await process.stderr.readline()).decode())) is None:
        assert line, "the server ended"
    return process, found[0]
