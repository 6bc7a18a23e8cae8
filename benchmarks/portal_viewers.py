"""Those who look at a live job: many event streams, and one real browser."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event

import numpy as np
import uvloop
from playwright.async_api import Page

from beacon.store.events import Event as JobEvent
from benchmarks.portal_jobs import FORK

_ID = re.compile(rb"\nid: (\d+)\r?\n")
_TAIL = 48
"""Longer than a message's id and the line ends about it."""
WATCHING = """() => {
    window.seen = [];
    const live = document.getElementById("live");
    const note = () => window.seen.push([Date.now() / 1000, Number(live.dataset.seq)]);
    new MutationObserver(note).observe(live, { attributes: true, attributeFilter: ["data-seq"] });
    note();
}"""


@dataclass
class Seen:
    """When (seconds since the epoch) a viewer stood at which seq; bytes that it was sent."""

    at: list[float] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    size: int = 0

    @property
    def updates_per_s(self) -> float:
        return (len(self.at) - 1) / (self.at[-1] - self.at[0]) if len(self.at) > 1 else 0.0

    def lags_s(self, events: Sequence[JobEvent]) -> np.ndarray:
        """From each event's commit until this viewer stood at it or beyond; infinite where it never did."""
        first = np.searchsorted(self.seq, [event.seq for event in events])
        arrived = np.append(self.at, np.inf)[first]
        return arrived - np.array([event.at for event in events])


class _Viewer(asyncio.Protocol):
    def __init__(self, path: str, over: asyncio.Future[None]) -> None:
        self.path, self.over = path, over
        self.seen, self.tail = Seen(), b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now, held = time.time(), self.tail + data
        for found in _ID.finditer(held):
            if found.end() > len(self.tail):
                self.seen.at.append(now)
                self.seen.seq.append(int(found[1]))
        self.seen.size += len(data)
        self.tail = held[-_TAIL:]

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


def watch(port: int, job_id: str, viewers: int, ready: Event) -> list[Seen]:
    """So many event streams in a process of its own, until the job is over; `ready` once all are open."""
    told = FORK.SimpleQueue()
    process = FORK.Process(target=lambda: told.put(uvloop.run(_watch(port, job_id, viewers, ready))), daemon=True)
    process.start()
    seen: list[Seen] = told.get()
    process.join()
    return seen


async def _watch(port: int, job_id: str, viewers: int, ready: Event) -> list[Seen]:
    loop = asyncio.get_running_loop()
    opened = []
    for _ in range(viewers):
        viewer = _Viewer(f"/jobs/{job_id}/live?after=0", loop.create_future())
        await loop.create_connection(lambda viewer=viewer: viewer, "127.0.0.1", port)  # type: ignore[misc]
        opened.append(viewer)
    while not all(viewer.seen.seq for viewer in opened):
        await asyncio.sleep(0.05)
    ready.set()
    await asyncio.gather(*(viewer.over for viewer in opened))
    return [viewer.seen for viewer in opened]


async def seen_by(page: Page) -> Seen:
    """What a page that runs `WATCHING` stood at."""
    found = await page.evaluate("window.seen")
    return Seen([at for at, _ in found], [seq for _, seq in found])
