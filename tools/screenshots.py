"""Pictures of every page, light and dark, on a desktop and on a phone: `make screenshots`.

A lab with faults answers jobs of its own, in a database of its own: whatever is seen is simulated. All pictures go to
var/screenshots; those that README and docs show go to docs/screenshots too. Nothing but loopback is used.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright
from sqlalchemy import Connection

from beacon.cli.embedded import Embedded, embedded
from beacon.cli.listening import address, listen
from beacon.cli.serving import PortalServer
from beacon.domain.clock import SystemClock
from beacon.domain.spec import parse_spec
from beacon.runner.admission import submit
from beacon.runner.inputs import complete
from beacon.store import executions, jobs, schedules
from beacon.store.executions import Filter
from beacon.store.tables import ticks
from tests.conftest import find_chromium

ROOT = Path(__file__).parents[1]
EVERY, SHOWN = ROOT / "var" / "screenshots", ROOT / "docs" / "screenshots"
KEPT = ("findings-desktop-light", "map-desktop-light", "drift-desktop-light", "findings-phone-dark")
"""Those that README and docs show."""
MOST_BYTES = 150_000
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
SCHEMES = ("light", "dark")
QUALITY = 82
WEEK_S = 7 * 86_400
SPEC = """\
schema: beacon.job/v1
name: {name}
questions: [{{pack: sovereignty}}]
models: [llama3.2-1b, qwen2.5-1.5b, mistral-7b]
regions: [us, eu, apac]
repeats: {repeats}
seed: {seed}
"""
Shot = tuple[str, str, str | None]
"""The picture's name, the page's address, and the part of it that is shown; None for what is seen first."""


@asynccontextmanager
async def portal() -> AsyncIterator[tuple[Embedded, str]]:
    """A portal over the lab, and its address."""
    with tempfile.TemporaryDirectory(prefix="beacon-screenshots-") as folder, listen("127.0.0.1", 0) as listener:
        async with embedded(f"sqlite:///{folder}/beacon.db", "lab") as house:
            server = PortalServer(house, listener)
            serving = asyncio.create_task(server.run())
            yield house, address(listener)
            server.stop()
            await serving


async def begin(house: Embedded, name: str, repeats: int, seed: int = 7) -> str:
    spec = complete(parse_spec(SPEC.format(name=name, repeats=repeats, seed=seed), "the spec"), "the spec")
    job_id, _ = await submit(house.database, spec, house.fleet, SystemClock())
    return job_id


async def until(house: Embedded, job_id: str, share: float) -> None:
    """So much of the job is recorded, or it is over."""
    while True:
        job = await house.database.read(jobs.get, job_id)
        if job.over or (share < 1 and job.done >= share * job.total):
            return
        await asyncio.sleep(0.1)


async def schedule(house: Embedded, ids: Sequence[str]) -> str:
    """A schedule that has been removed, so that it starts nothing, with these jobs as its runs."""
    now = SystemClock().wall()
    spec = await house.database.read(jobs.spec_of, ids[0])
    documents = (spec.model_dump_json(by_alias=True), house.fleet.model_dump_json(by_alias=True))

    def write(connection: Connection) -> None:
        schedules.add(connection, "s7kd", "Borders and sovereignty, each week", "0 6 * * 1", documents, now)
        schedules.remove(connection, "s7kd", now)
        for number, job_id in enumerate(ids):
            at = now - WEEK_S * (len(ids) - number)
            connection.execute(ticks.insert().values(schedule_id="s7kd", tick_at=at, fired_at=at, job_id=job_id))

    await house.database.write(write)
    return "s7kd"


async def take(browser: Browser, site: str, shots: Sequence[Shot], target: Path) -> None:
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            context = await browser.new_context(
                base_url=site,
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = await context.new_page()
            for name, path, part in shots:
                await page.goto(path)
                (target / f"{name}-{size}-{scheme}.webp").write_bytes(await picture(page, part))
            await context.close()


async def picture(page: Page, part: str | None) -> bytes:
    """What the window shows, or one part of the page, as WebP, which Playwright itself does not write."""
    options: dict[str, object] = {"format": "webp", "quality": QUALITY}
    if part is not None:
        box = await page.locator(part).first.bounding_box()
        if box is None:
            raise LookupError(f"{page.url} shows no {part}")
        options |= {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
    session = await page.context.new_cdp_session(page)
    taken = await session.send("Page.captureScreenshot", options)
    await session.detach()
    return base64.b64decode(taken["data"])


def keep(every: Path, shown: Path) -> None:
    """Those that are shown, none too large for a page of text. Raises ValueError."""
    shown.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        file = every / f"{name}.webp"
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file} has {file.stat().st_size:,} bytes: more than {MOST_BYTES:,}")
        shutil.copyfile(file, shown / file.name)


async def main(target: Path, chromium: Path | None) -> None:
    async with portal() as (house, site), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        runs = []
        for seed in range(7, 11):
            runs.append(await begin(house, "Borders and sovereignty", 5, seed))
            await until(house, runs[-1], 1)
        first, second, *_ = runs
        running = await begin(house, "Borders and sovereignty, again", 60)
        await until(house, running, 0.1)
        await take(browser, site, [("running", f"/jobs/{running}", None), ("jobs", "/jobs", None)], target)
        found = await house.database.read(executions.page, first, limit=1, chosen=Filter(statuses=["completed"]))
        findings = f"/jobs/{first}/findings"
        await take(
            browser,
            site,
            [
                ("new", "/jobs/new", None),
                ("job", f"/jobs/{first}", None),
                ("findings", findings, None),
                ("map", findings, "#map"),
                ("heat", findings, "#heat"),
                ("pair", f"/jobs/{first}/pair?left_repeat=2", None),
                ("executions", f"/jobs/{first}/executions", None),
                ("execution", f"/executions/{found[0]['id']}", None),
                ("spec", f"/jobs/{first}/spec", None),
                ("compare", f"/compare?jobs={first},{second}", None),
                ("drift", f"/drift?schedule={await schedule(house, runs)}", None),
                ("fleet", "/fleet", None),
                ("kpis", "/kpis?simulated=yes", None),
                ("about", "/about", None),
                ("sign-in", "/sign-in", None),
            ],
            target,
        )
        await browser.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else EVERY
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(folder, find_chromium()))
    keep(folder, SHOWN)
