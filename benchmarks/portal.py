"""What the portal promises of speed: pages, assets, live updates, viewers. Prints each figure beside its limit.

200 jobs, one of 10,000 executions, in a SQLite database; the server, a job's writer, the viewers and Debian's Chromium
are processes of their own. `cpu` is what the server itself used, which other load on the machine hardly changes.

    PYTHONPATH=. python benchmarks/portal.py [--jobs 200] [--executions 10000] [--viewers 200] [--rounds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from playwright.async_api import Browser, async_playwright

from beacon.store import events
from beacon.store.database import open_database
from beacon.store.events import Event
from beacon.web.assets import Assets
from benchmarks.portal_jobs import FORK, Served, fill, moving, served
from benchmarks.portal_viewers import WATCHING, Seen, seen_by, watch
from tests.conftest import find_chromium

RATE = 1_000
"""Executions a second of a live job."""
PAGE_MS, PAINT_MS, ASSET_KB, UPDATES, CORES, LAG_S, END_S = 100.0, 500.0, 150.0, 10.0, 1.0, 1.0, 2.0
"""The limits, as docs/portal.md promises them."""


@dataclass(frozen=True)
class Timed:
    """Milliseconds: the first request after the server's start, the median of the others, the server's own work."""

    first: float
    median: float
    cpu: float


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(what: str, figure: float, limit: float, unit: str, note: str = "") -> None:
    verdict = "ok    " if figure <= limit else "MISSES"
    print(f"  {verdict} {what:<44} {figure:8.1f} {unit:<8} limit {limit:g}{'   ' + note if note else ''}", flush=True)


async def pages_of(client: httpx.AsyncClient, big: str, small: str) -> dict[str, str]:
    """Every page by its name; an execution and a pair of the large job among them."""
    listed = (await client.get(f"/jobs/{big}/executions")).text
    execution = re.findall(r'href="(/executions/[^"]+)"', listed)[20]
    return {
        "jobs": "/jobs",
        "jobs, filtered": "/jobs?q=small&status=completed&model=alpha&region=us&since=7+days",
        "new job": "/jobs/new",
        "job of 10,000": f"/jobs/{big}",
        "findings of 10,000": f"/jobs/{big}/findings",
        "side by side": f"/jobs/{big}/pair",
        "executions": f"/jobs/{big}/executions",
        "executions, filtered": f"/jobs/{big}/executions?status=failed&model=beta",
        "execution": execution,
        "spec": f"/jobs/{big}/spec",
        "compare": f"/compare?jobs={small}",
        "fleet": "/fleet",
        "KPIs": "/kpis?simulated=yes",
        "about": "/about",
    }


async def time_page(client: httpx.AsyncClient, path: str, pid: int, rounds: int) -> Timed:
    took = []
    used = 0.0
    for number in range(rounds + 1):
        if number == 1:
            used = cpu_s(pid)
        began = time.perf_counter()
        response = await client.get(path)
        took.append(1000 * (time.perf_counter() - began))
        response.raise_for_status()
    return Timed(took[0], statistics.median(took[1:]), 1000 * (cpu_s(pid) - used) / rounds)


async def measure_pages(server: Served, big: str, small: str, rounds: int) -> dict[str, str]:
    print(f"Server time of each page, median of {rounds}")
    async with httpx.AsyncClient(base_url=server.address, timeout=600) as client:
        pages = await pages_of(client, big, small)
        for name, path in pages.items():
            timed = await time_page(client, path, server.pid, rounds)
            tell(name, timed.median, PAGE_MS, "ms", f"cpu {timed.cpu:.0f} ms, first {timed.first:.0f} ms")
    return pages


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield browser
        await browser.close()


async def measure_paints(browser: Browser, server: Served, pages: dict[str, str], rounds: int) -> None:
    """Each time with an empty cache, as somebody who comes for the first time."""
    print(f"First contentful paint of each page, median of {rounds}")
    heaviest = 0
    for name, path in pages.items():
        paints = []
        for _ in range(rounds):
            context = await browser.new_context(base_url=server.address)
            page = await context.new_page()
            await page.goto(path)
            paints.append(await page.evaluate(_PAINTED))
            sizes = "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)"
            heaviest = max(heaviest, await page.evaluate(sizes))
            await context.close()
        tell(name, statistics.median(paints), PAINT_MS, "ms")
    print("Assets, compressed")
    assets = Assets.load()
    tell("of the page that asks for most", heaviest / 1000, ASSET_KB, "kB")
    tell("all that there are", assets.size_sent / 1000, ASSET_KB, "kB")


_PAINTED = """() => new Promise((resolve) => new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "first-contentful-paint") resolve(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""


async def events_of(url: str, job_id: str) -> list[Event]:
    database = await open_database(url)
    found = await database.read(events.after, job_id, 0, 1_000_000)
    await database.close()
    return found


def moved(found: Sequence[Event]) -> tuple[list[Event], float, Event]:
    """The events of executions, how many ended a second, and the event with which the job was over."""
    groups = [event for event in found if event.kind == "group"]
    span = groups[-1].at - groups[0].at
    return groups, groups[-1].data["counts"]["completed"] / span, found[-1]


async def measure_live_page(browser: Browser, server: Served, url: str, executions: int) -> None:
    print(f"One browser at a job of {executions:,} executions")
    with moving(url, executions, RATE) as (job_id, go):
        page = await browser.new_page(base_url=server.address)
        await page.goto(f"/jobs/{job_id}")
        await page.evaluate(WATCHING)
        go.set()
        await page.wait_for_selector("#live[data-over]", state="attached", timeout=300_000)
        seen = await seen_by(page)
    groups, rate, end = moved(await events_of(url, job_id))
    note = f"at {rate:.0f} executions/s, {len(groups) / (groups[-1].at - groups[0].at):.0f} events/s"
    tell("updates that the page handles", seen.updates_per_s, UPDATES, "/s", note)
    tell("lag behind the database, p99", float(np.quantile(seen.lags_s(groups), 0.99)), LAG_S, "s")
    tell("until the end is shown", float(seen.lags_s([end])[0]), END_S, "s")


async def measure_viewers(server: Served, url: str, executions: int, viewers: int) -> None:
    print(f"{viewers} viewers of a job of {executions:,} executions")
    with moving(url, executions, RATE) as (job_id, go):
        ready = FORK.Event()
        used: list[tuple[float, float]] = []

        def begin() -> None:
            ready.wait()
            used.append((cpu_s(server.pid), time.monotonic()))
            go.set()

        threading.Thread(target=begin, daemon=True).start()
        seen = await asyncio.to_thread(watch, server.port, job_id, viewers, ready)
        used.append((cpu_s(server.pid), time.monotonic()))
    groups, rate, end = moved(await events_of(url, job_id))
    (cpu_before, begin_s), (cpu_after, end_s) = used
    cpu, wall = cpu_after - cpu_before, end_s - begin_s
    sent = statistics.mean(len(each.seq) for each in seen)
    note = f"{rate:.0f} executions/s, {sent / wall:.1f} updates/s of {_size(seen) / 1000:.0f} kB each"
    tell("server, at the rate seen", cpu / wall, CORES, "cores", note)
    tell("server, at 10 updates/s to each", UPDATES * cpu / sent, CORES, "cores")
    tell("updates a viewer is sent", max(each.updates_per_s for each in seen), UPDATES, "/s")
    lags = np.concatenate([each.lags_s(groups) for each in seen])
    tell("lag behind the database, p99", float(np.quantile(lags, 0.99)), LAG_S, "s")
    tell("until the end is shown, the slowest", float(max(each.lags_s([end])[0] for each in seen)), END_S, "s")


def _size(seen: Sequence[Seen]) -> float:
    return sum(each.size for each in seen) / sum(len(each.seq) for each in seen)


async def main(options: argparse.Namespace, folder: Path) -> None:
    url = f"sqlite:///{folder}/beacon.db"
    print(f"Storing {options.jobs} jobs, one of {options.executions:,} executions")
    big, small = await fill(url, options.jobs, options.executions)
    with served(url) as server:
        pages = await measure_pages(server, big, small, options.rounds)
        if find_chromium() is None:
            print("No Chromium was found: nothing is measured in a browser")
        else:
            async with browsing() as browser:
                await measure_paints(browser, server, pages, 3)
                await measure_live_page(browser, server, url, options.executions)
        await measure_viewers(server, url, options.executions, options.viewers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=15)
    with tempfile.TemporaryDirectory(prefix="beacon-portal-") as name:
        asyncio.run(main(parser.parse_args(), Path(name)))
