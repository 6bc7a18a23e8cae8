"""A portal with something to show: its jobs, the server over them, and a job that moves at a chosen rate."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event

import uvicorn

from beacon.cli.busy import run_busy
from beacon.domain.failure import FailureKind
from beacon.domain.spec import JobSpec
from beacon.runner.analyst import Analyst
from beacon.store.database import Database, open_database
from beacon.web.app import create_app
from tests.integration.web.scene import FLEET, Scene, StoreActions, Work, make_spec

FORK = multiprocessing.get_context("fork")
AT_ONCE = 500
STEP_S = 0.05
"""A job that moves does so in groups, as a busy runner writes them."""
SAID = "The square of a number is that number times itself, whichever number it is. "


def big_spec(executions: int, name: str) -> JobSpec:
    """A matrix with as many marks as a page draws: 10 repeats, one mark each."""
    questions = [{"id": f"q{n:03}", "text": f"What is the square of {n}?"} for n in range(executions // 40)]
    return make_spec(questions=questions, repeats=10, name=name)


async def fill(url: str, many: int, executions: int) -> tuple[str, str]:
    """Stores `many` jobs that are over, one of them with that many executions: its id, and that of a small one."""
    database = await open_database(url)
    async with Analyst() as analyst:
        report, small = {"findings": [{"call": "undecided"}, {"call": "difference"}]}, ""
        for number in range(many - 1):
            scene = await Scene.begin(database, make_spec(name=f"Small job {number}"))
            await scene.run(scene.works)
            await scene.label(scene.works, "substantive")
            await scene.finish(report)
            small = scene.job_id
        scene = await Scene.begin(database, big_spec(executions, "A job of many executions"))
        for some in batches(scene.works):
            await scene.start(some)
            await scene.fail(some[:5], FailureKind.RATE_LIMITED)
            await scene.fail(some[5:10], FailureKind.DEADLINE_EXPIRED)
            await scene.answer(some[10:], SAID * 4)
            await scene.label(some[10:100], "refusal")
            await scene.label(some[100:], "substantive")
        await scene.finish(await analyst.ask("report_document", url, scene.job_id))
    await database.close()
    return scene.job_id, small


def batches(works: list[Work]) -> Iterator[list[Work]]:
    for begin in range(0, len(works), AT_ONCE):
        yield works[begin : begin + AT_ONCE]


@dataclass(frozen=True)
class Served:
    port: int
    pid: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(url: str) -> Iterator[Served]:
    """The portal over that database in a process of its own, without a runner: what it costs is what pages cost."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        process = FORK.Process(target=_serve, args=(url, listener), daemon=True)
        process.start()
        assert process.pid is not None
        yield Served(listener.getsockname()[1], process.pid)
        process.terminate()
        process.join()


def _serve(url: str, listener: socket.socket) -> None:
    async def serve() -> None:
        database = await open_database(url)
        app = create_app(database, actions=StoreActions(database), fleet=lambda: FLEET)
        config = uvicorn.Config(app, http="httptools", ws="none", log_config=None, access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])

    run_busy(serve())


@contextmanager
def moving(url: str, executions: int, rate: float) -> Iterator[tuple[str, Event]]:
    """A job's id, and what sets it going: from then on so many executions a second are begun and recorded."""
    go, told = FORK.Event(), FORK.SimpleQueue()
    process = FORK.Process(target=_move, args=(url, executions, rate, go, told), daemon=True)
    process.start()
    yield told.get(), go
    process.join()


def _move(url: str, executions: int, rate: float, go: Event, told: multiprocessing.SimpleQueue[str]) -> None:
    async def move() -> None:
        database = await open_database(url)
        scene = await Scene.begin(database, big_spec(executions, f"A job at {rate:g} executions/s"))
        told.put(scene.job_id)
        await asyncio.to_thread(go.wait)
        await _run_at(database, scene, rate)
        await database.close()

    run_busy(move())


async def _run_at(database: Database, scene: Scene, rate: float) -> None:
    size, began = round(rate * STEP_S), time.monotonic()
    open_works: list[Work] = []
    for number in itertools.count():
        if open_works:
            await scene.answer(open_works, SAID)
        open_works = scene.works[number * size : (number + 1) * size]
        if not open_works:
            break
        await scene.start(open_works)
        await asyncio.sleep(max(0.0, began + (number + 1) * STEP_S - time.monotonic()))
    await scene.step("analysing 1 of 2 comparisons")
    await scene.finish()
