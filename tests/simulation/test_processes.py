"""Simulated processes die, and are stopped and go on, between any two of their steps."""

from __future__ import annotations

import asyncio

from tests.simulation.processes import Process, ProcessLoop


async def _work(told: list[str]) -> None:
    try:
        for step in range(10):
            told.append(f"step {step}")
            await asyncio.sleep(1)
    finally:
        told.append("cleaned up")


def _in_a_process(what_happens) -> list[str]:
    loop, process, told = ProcessLoop(), Process("p", "host"), []

    async def main() -> None:
        loop.start(process, _work(told))
        await what_happens(loop, process)

    loop.run_until_complete(main())
    told_until_then = list(told)
    loop.bury()
    return told_until_then


def test_a_killed_process_takes_no_further_step_and_cleans_nothing_up() -> None:
    async def kill(loop: ProcessLoop, process: Process) -> None:
        await asyncio.sleep(2.5)
        loop.kill(process)
        await asyncio.sleep(10)

    assert _in_a_process(kill) == ["step 0", "step 1", "step 2"]


def test_a_frozen_process_goes_on_where_it_was() -> None:
    async def freeze(loop: ProcessLoop, process: Process) -> None:
        await asyncio.sleep(2.5)
        loop.freeze(process)
        await asyncio.sleep(10)
        loop.thaw(process)
        await asyncio.sleep(1.5)

    assert _in_a_process(freeze) == ["step 0", "step 1", "step 2", "step 3", "step 4"]
