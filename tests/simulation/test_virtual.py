"""Virtual time is what the simulations stand on."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.simulation.virtual import EPOCH, Stuck, VirtualClock, run


def test_hours_pass_at_once_and_in_order() -> None:
    clock, seen = VirtualClock(), []

    async def at(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((seconds, clock.monotonic(), clock.wall()))

    async def story() -> None:
        await asyncio.gather(*(at(seconds) for seconds in (7200, 3600, 0.5)))

    began = time.monotonic()
    run(story())
    assert time.monotonic() - began < 10
    assert [seconds for seconds, _, _ in seen] == [0.5, 3600, 7200]
    for seconds, monotonic, wall in seen:
        assert monotonic == pytest.approx(seconds)
        assert wall == pytest.approx(EPOCH + seconds)


def test_a_time_out_passes_too() -> None:
    async def story() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await asyncio.Event().wait()

    run(story())


def test_what_would_wait_for_ever_is_said_to() -> None:
    with pytest.raises(Stuck):
        run(asyncio.Event().wait())


def test_an_executor_works_at_once_and_raises_what_it_raises() -> None:
    async def story() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().run_in_executor(None, lambda: 1 // 0)
        return await asyncio.get_running_loop().run_in_executor(None, int, "7")

    assert run(story()) == 7
