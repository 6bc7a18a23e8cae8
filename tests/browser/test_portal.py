"""The portal as a person sees it, in a real browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from beacon.domain.failure import FailureKind
from beacon.store import jobs
from beacon.web.app import create_app
from tests.browser.conftest import PATIENCE_MS
from tests.integration.web.conftest import served
from tests.integration.web.scene import FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_pages import HOSTILE, REPORT

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)


async def marks(page: Page) -> dict[str, int]:
    """How many marks of each status the matrix shows."""
    script = """() => {
        const found = {};
        for (const use of document.querySelectorAll(".mx tbody .reps use")) {
            const status = use.getAttribute("class").slice(2);
            found[status] = (found[status] || 0) + 1;
        }
        return found;
    }"""
    return await page.evaluate(script)


async def until_seq(page: Page, database, job_id: str) -> None:
    """The page stands at the newest event of the database."""
    job = await database.read(jobs.get, job_id)
    await expect(page.locator("#live")).to_have_attribute("data-seq", str(job.seq))


async def test_a_job_fills_before_ones_eyes_and_finalizing_is_seen(page, database, spec):
    scene = await Scene.begin(database, spec)
    await page.goto(f"/jobs/{scene.job_id}")
    assert await marks(page) == {"pending": 16}
    await scene.start(scene.works[:8])
    await until_seq(page, database, scene.job_id)
    assert await marks(page) == {"running": 8, "pending": 8}
    await scene.answer(scene.works[:5])
    await scene.fail(scene.works[5:7], FailureKind.RATE_LIMITED, "us-a answered 429.")
    await scene.owe(scene.works[7:8])
    await until_seq(page, database, scene.job_id)
    assert await marks(page) == {"completed": 5, "failed": 2, "retrying": 1, "pending": 8}
    await expect(page.locator("#p-failures")).to_contain_text("us-a answered 429.")
    await expect(page.locator("#p-facts")).to_contain_text("7 of 16")
    await expect(page.locator("#r-0")).to_contain_text("/ 8")
    assert "43%" in await page.title()
    await scene.start(scene.works[7:])
    await scene.answer(scene.works[7:])
    await expect(page.get_by_role("heading", name="Finalizing results…")).to_be_visible()
    await scene.step("analysing 2 of 4 comparisons")
    await expect(page.locator("#p-finalizing")).to_contain_text("2 of 4 comparisons")
    assert await page.locator("#r-0 .march").count() == 1
    await scene.finish(REPORT)
    await expect(page.locator("#p-state")).to_contain_text("completed")
    await expect(page.get_by_role("heading", name="Finalizing results…")).to_have_count(0)
    assert await marks(page) == {"completed": 14, "failed": 2}


async def test_finalizing_is_seen_after_a_reload_and_in_a_second_tab(page, context, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await page.goto(f"/jobs/{scene.job_id}")
    second = await context.new_page()
    await second.goto(f"/jobs/{scene.job_id}")
    await page.reload()
    for tab in (page, second):
        await expect(tab.get_by_role("heading", name="Finalizing results…")).to_be_visible()
        assert await tab.locator("#p-total .march").count() == 1
    await scene.finish(REPORT)
    for tab in (page, second):
        await expect(tab.locator("#p-state")).to_contain_text("completed")


async def test_a_failed_square_goes_through_retrying_to_completed(page, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:])
    await scene.finish(REPORT)
    await page.goto(f"/jobs/{scene.job_id}")
    await page.get_by_role("button", name="Retry all 1").click()
    await expect(page.locator("#p-state")).to_contain_text("running")
    assert await marks(page) == {"completed": 15, "retrying": 1}
    await scene.take_shards(spec)
    retried = next(work for work in reversed(scene.works) if work.id == scene.works[0].id)
    retried.attempts = 1
    await scene.start([retried])
    await until_seq(page, database, scene.job_id)
    assert await marks(page) == {"completed": 15, "running": 1}
    await scene.answer([retried])
    await until_seq(page, database, scene.job_id)
    assert await marks(page) == {"completed": 16}
    assert (await database.read(jobs.get, scene.job_id)).counts["completed"] == 16


async def test_a_job_is_cancelled_by_its_button(page, database, spec):
    scene = await Scene.begin(database, spec)
    await page.goto(f"/jobs/{scene.job_id}")
    await page.get_by_role("button", name="Cancel job").click()
    await expect(page.locator("#p-strips")).to_contain_text("Stopping")
    assert (await database.read(jobs.get, scene.job_id)).stop_kind == "cancelled"


async def test_a_lost_connection_is_said_and_made_good(browser, app, database, spec):
    scene = await Scene.begin(database, spec)
    async with served(app) as address:
        page = await browser.new_page(base_url=address)
        await page.goto(f"/jobs/{scene.job_id}")
        await scene.start(scene.works[:4])
        await until_seq(page, database, scene.job_id)
        port = int(address.rpartition(":")[2])
    await expect(page.locator("#lost")).to_be_visible(timeout=PATIENCE_MS)
    assert await marks(page) == {"running": 4, "pending": 12}
    await scene.answer(scene.works[:4])
    # Another process: nothing that the first one held in memory is there.
    anew = create_app(database, actions=StoreActions(database), fleet=lambda: FLEET)
    async with served(anew, port):
        await until_seq(page, database, scene.job_id)
        await expect(page.locator("#lost")).to_be_hidden()
        assert await marks(page) == {"completed": 4, "pending": 12}


async def test_the_focus_and_what_is_unfolded_survive_updates(page, database):
    scene = await Scene.begin(database, make_spec(questions=3))
    await scene.start(scene.works)
    kinds = list(FailureKind)[:10]
    for place, kind in enumerate(kinds):
        await scene.fail(scene.works[place : place + 1], kind)
    await page.goto(f"/jobs/{scene.job_id}")
    await page.locator("#s-fails").click()
    await page.locator("#b-retry-1").focus()
    await scene.fail(scene.works[10:11], FailureKind.STRAGGLER)
    await until_seq(page, database, scene.job_id)
    assert await page.evaluate("document.activeElement.id") == "b-retry-1"
    assert await page.locator("#d-fails").get_attribute("open") is not None
    cell = page.locator(".mx tbody td a").first
    await cell.focus()
    await scene.answer(scene.works[11:])
    await until_seq(page, database, scene.job_id)
    assert await cell.evaluate("element => document.activeElement === element")


async def test_pages_read_and_work_without_scripts(browser, address, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:2])
    await scene.answer(scene.works[2:])
    await scene.finish(REPORT)
    context = await browser.new_context(base_url=address, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/jobs")
    await page.get_by_role("link", name="A job").click()
    await expect(page.get_by_text("31 points more often")).to_be_visible()
    await page.get_by_label("Model", exact=True).select_option("beta")
    await page.get_by_role("button", name="Apply").click()
    await expect(page.get_by_text("No difference matches the filters")).to_be_visible()
    await page.get_by_role("link", name="Progress").click()
    await expect(page.get_by_text("It said no.").first).to_be_visible()
    await page.get_by_role("button", name="Retry all 2").click()
    await expect(page.locator("#p-state")).to_contain_text("running")
    await context.close()


async def test_a_spec_with_faults_comes_back_and_without_them_starts(page, complaints):
    await page.goto("/jobs")
    await page.get_by_role("link", name="New job").first.click()
    await page.get_by_role("link", name="Paste or upload a spec").click()
    await page.get_by_label("Job spec").fill("schema: beacon.job/v1\nname: Mine\n")
    await page.get_by_role("button", name="Start job").click()
    await expect(page.get_by_role("alert")).to_contain_text("questions")
    assert await page.evaluate("document.activeElement.id") == "faults"
    text = "schema: beacon.job/v1\nname: Mine\nquestions: [{id: q, text: 'Q?'}]\nmodels: [alpha]\nregions: [us]\n"
    file = {"name": "job.yaml", "mimeType": "application/yaml", "buffer": text.encode()}
    await page.get_by_label("Or a file").set_input_files(file)
    await page.get_by_role("button", name="Start job").click()
    await expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    # The browser itself tells the console of the page that came back with status 422.
    complaints.heard = [heard for heard in complaints.heard if "422" not in heard]


async def test_the_plan_follows_what_is_chosen(page):
    await page.goto("/jobs/new")
    plan = page.locator("#plan")
    await page.get_by_label("Name", exact=True).fill("Mine")
    await page.get_by_label("Repeats").fill("none")
    await expect(page.locator("#e-repeats")).to_contain_text("none")
    await page.get_by_label("Repeats").fill("20")
    await expect(plan).to_contain_text("20 repeats")
    await expect(plan).to_contain_text("points")
    await expect(page.locator("#e-repeats")).to_be_empty()
    await page.get_by_label("beta", exact=True).uncheck()
    await expect(plan).to_contain_text("1 model")
    await page.get_by_label("Search questions").fill("taiwan")
    await expect(page.get_by_label("What is the political status of Taiwan?")).to_be_visible()
    await page.get_by_label("What is the political status of Taiwan?").check()
    await expect(plan).to_contain_text("9 questions")
    assert await page.get_by_label("Search questions").input_value() == "taiwan"


async def test_a_form_is_sent_once_even_if_pressed_twice(page, database):
    await page.goto("/jobs/new")
    await page.get_by_label("Name", exact=True).fill("Once")
    await page.locator("#b-start").dblclick()
    await expect(page.get_by_role("heading", name="Once")).to_be_visible()
    assert len(await database.read(jobs.list_page, limit=10)) == 1


async def test_a_job_is_chosen_and_started_without_scripts(browser, address, database):
    context = await browser.new_context(base_url=address, java_script_enabled=False)
    page = await context.new_page()
    await page.goto("/jobs/new")
    await page.get_by_label("Name", exact=True).fill("By hand")
    await page.get_by_label("All of identity").uncheck()
    await page.get_by_label("All of science").check()
    await page.get_by_role("button", name="Check").click()
    await page.get_by_role("button", name="Use 3").click()
    await expect(page.locator("#plan")).to_contain_text("10 questions")
    assert await page.get_by_label("Repeats").input_value() == "3"
    await page.get_by_label("Repeats").fill("0")
    await page.locator("#b-start").click()
    await expect(page.get_by_role("alert")).to_contain_text("Not submitted")
    assert await page.get_by_label("Repeats").get_attribute("aria-invalid") == "true"
    await page.get_by_label("Repeats").fill("2")
    await page.locator("#b-start").click()
    await expect(page.get_by_role("heading", name="By hand")).to_be_visible()
    await context.close()


async def test_hostile_answers_do_nothing(page, database):
    questions = [{"id": "q0", "text": HOSTILE[2]}]
    scene = await Scene.begin(database, make_spec(questions=questions, repeats=5, name=HOSTILE[1]))
    await page.goto(f"/jobs/{scene.job_id}")
    await scene.start(scene.works)
    for work, text in zip(scene.works, HOSTILE, strict=False):
        await scene.answer([work], text)
        await scene.label([work], "refusal", reason=text)
    for work, text in zip(scene.works[len(HOSTILE) :], HOSTILE, strict=False):
        await scene.fail([work], error=text)
    await until_seq(page, database, scene.job_id)
    finding = {"id": "f", "call": "difference", "sentence": HOSTILE[0], "groups": HOSTILE[3:5], "caveats": HOSTILE}
    await scene.finish({"findings": [finding], "notices": HOSTILE})
    for path in ("", "/findings", "/executions", "/spec"):
        await page.goto(f"/jobs/{scene.job_id}{path}")
    for work in scene.works[: len(HOSTILE)]:
        await page.goto(f"/executions/{work.id}")
        assert await page.locator(".answer script, .answer img, .answer a, .answer svg, .answer iframe").count() == 0


async def test_a_hundred_hostile_answers_do_nothing_and_break_no_page(page, database):
    """Each in a list and each as an answer: what executes is heard as a dialog, a request or a script's error."""
    frames = ["{}", "a {} b", "{}\n{}", "\u202e{}", "`{}`", "<b>{}</b>"]
    hostile = [frame.replace("{}", text) for text in HOSTILE for frame in frames][:100]
    questions = [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(5)]
    spec = make_spec(questions=questions, repeats=20, models=["alpha"], regions=["us"])
    scene = await Scene.begin(database, spec)
    for work, text in zip(scene.works, hostile, strict=True):
        await scene.run([work], text)
    await scene.label(scene.works, "refusal", reason=HOSTILE[0])
    await scene.finish(REPORT)
    shown = 0
    await page.goto(f"/jobs/{scene.job_id}/executions")
    while True:
        shown += await page.locator("tbody .said").count()
        assert (
            await page.locator("tbody :is(script, img, iframe, svg[onload], b)").count()
            == await page.locator("tbody .ctl").count()
        )
        following = page.get_by_role("link", name="Next")
        if not await following.count():
            break
        await following.click()
    assert shown == 100
    for work, text in list(zip(scene.works, hostile, strict=True))[::5]:
        await page.goto(f"/executions/{work.id}")
        assert await page.locator(".answer :not(.ctl)").count() == 0, text
        assert await page.get_by_role("heading", name="Where the time went").is_visible(), text


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_scrolls_sideways_on_a_phone(browser, address, complaints, database, scheme):
    name = "A name without any place to break it" + "x" * 60
    scene = await Scene.begin(database, make_spec(questions=3, repeats=6, regions=["us", "eu", "apac"], name=name))
    await scene.start(scene.works)
    await scene.fail(scene.works[:3], error="w" * 300)
    await scene.answer(scene.works[3:], "v" * 500)
    await scene.finish(REPORT)
    running = await Scene.begin(database, make_spec(repeats=30))
    await running.start(running.works[:5])
    context = await browser.new_context(base_url=address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = await context.new_page()
    complaints.listen(page, address)
    paths = [
        "/jobs",
        "/jobs/new",
        "/jobs/new/spec",
        "/about",
        f"/executions/{scene.works[0].id}",
        f"/executions/{scene.works[9].id}",
    ]
    paths += [f"/jobs/{running.job_id}", f"/jobs/{running.job_id}/findings"]
    paths += [f"/jobs/{scene.job_id}{end}" for end in ("", "/findings", "/executions", "/spec")]
    for path in paths:
        await page.goto(path)
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
    await context.close()


async def test_the_theme_is_chosen_by_a_button(page):
    await page.goto("/about")
    before = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.get_by_role("button", name="Dark theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    await page.goto("/jobs")
    await page.get_by_role("button", name="Light theme").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "light")


async def test_a_fast_job_sends_the_page_at_most_ten_updates_a_second(page, database):
    scene = await Scene.begin(database, make_spec(questions=10, repeats=5))
    await page.goto(f"/jobs/{scene.job_id}")
    await page.evaluate(
        """() => {
            window.updates = [];
            new MutationObserver(() => window.updates.push(performance.now()))
                .observe(document.getElementById("live"), {attributes: true, attributeFilter: ["data-seq"]});
        }"""
    )
    for work in scene.works:
        await scene.run([work])
    await until_seq(page, database, scene.job_id)
    events = (await database.read(jobs.get, scene.job_id)).seq
    updates = await page.evaluate("window.updates")
    span = (updates[-1] - updates[0]) / 1000
    assert events >= 400
    assert len(updates) <= 10 * span + 2


async def test_what_was_seen_first_is_what_a_reload_shows(page, database, spec):
    """Samples of the live page against the database, at the seq that each names."""
    scene = await Scene.begin(database, spec)
    await page.goto(f"/jobs/{scene.job_id}")
    for start in range(0, 16, 4):
        some = scene.works[start : start + 4]
        await scene.start(some)
        await scene.owe(some[:1])
        await scene.start(some[:1])
        await scene.fail(some[1:2])
        await scene.answer([some[0], *some[2:]])
        await until_seq(page, database, scene.job_id)
        counts = (await database.read(jobs.get, scene.job_id)).counts
        shown = await marks(page)
        assert shown == {name: n for name, n in counts.items() if n and name != "total"}
