"""Pictures of every page, light and dark, on a desktop and on a phone: `make screenshots` writes docs/screenshots.

A lab with faults answers a job of its own, in a database of its own. Nothing but loopback is used.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from beacon.cli.embedded import Embedded, embedded
from beacon.cli.listening import address, listen
from beacon.cli.serving import PortalServer
from beacon.domain.clock import SystemClock
from beacon.domain.spec import parse_spec
from beacon.runner.admission import submit
from beacon.runner.inputs import complete
from beacon.store import executions, jobs
from beacon.store.executions import Filter
from tests.conftest import find_chromium

TARGET = Path(__file__).parents[1] / "docs" / "screenshots"
SIZES = {"desktop": (1280, 900), "phone": (360, 740)}
SCHEMES = ("light", "dark")
SPEC = """\
schema: beacon.job/v1
name: {name}
questions: [{{pack: sovereignty}}]
models: [llama3.2-1b, qwen2.5-1.5b, mistral-7b]
regions: [us, eu, apac]
repeats: {repeats}
seed: 7
"""


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


async def begin(house: Embedded, name: str, repeats: int) -> str:
    spec = complete(parse_spec(SPEC.format(name=name, repeats=repeats), "the spec"), "the spec")
    job_id, _ = await submit(house.database, spec, house.fleet, SystemClock())
    return job_id


async def until(house: Embedded, job_id: str, share: float) -> None:
    """So much of the job is recorded, or it is over."""
    while True:
        job = await house.database.read(jobs.get, job_id)
        if job.over or (share < 1 and job.done >= share * job.total):
            return
        await asyncio.sleep(0.1)


async def take(browser: Browser, site: str, pages: dict[str, str], target: Path) -> None:
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            context = await browser.new_context(
                base_url=site, viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = await context.new_page()
            for name, path in pages.items():
                await page.goto(path)
                await page.screenshot(path=target / f"{name}-{size}-{scheme}.png", full_page=True)
            await context.close()


async def main(target: Path, chromium: Path | None) -> None:
    async with portal() as (house, site), async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        first = await begin(house, "Borders and sovereignty", 5)
        await until(house, first, 1)
        running = await begin(house, "Borders and sovereignty, again", 60)
        await until(house, running, 0.1)
        await take(browser, site, {"running": f"/jobs/{running}"}, target)
        found = await house.database.read(executions.page, first, limit=1, chosen=Filter(statuses=["completed"]))
        pages = {
            "jobs": "/jobs",
            "new": "/jobs/new",
            "job": f"/jobs/{first}",
            "findings": f"/jobs/{first}/findings",
            "pair": f"/jobs/{first}/pair?left_repeat=2",
            "executions": f"/jobs/{first}/executions",
            "execution": f"/executions/{found[0]['id']}",
            "spec": f"/jobs/{first}/spec",
            "fleet": "/fleet",
            "kpis": "/kpis?simulated=yes",
            "about": "/about",
        }
        await take(browser, site, pages, target)
        await browser.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(folder, find_chromium()))
