"""The retry budget on virtual time."""

from __future__ import annotations

import asyncio

from beacon.runner.budget import FLOOR, RATIO, TRICKLE_S, RetryBudget
from tests.simulation.virtual import run


def test_in_an_outage_a_fifth_and_a_floor_are_allowed_and_one_every_while() -> None:
    async def story() -> None:
        budget = RetryBudget()
        for _ in range(1000):
            budget.first_failed()
        waiting = [asyncio.create_task(budget.take()) for _ in range(1000)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(task.done() for task in waiting) == int(RATIO * 1000 + FLOOR)
        assert budget.waiting == 1000 - int(RATIO * 1000 + FLOOR)
        await asyncio.sleep(3.5 * TRICKLE_S)
        assert sum(task.done() for task in waiting) == int(RATIO * 1000 + FLOOR) + 3
        for task in waiting:
            task.cancel()

    run(story())


def test_once_answers_come_those_who_wait_go_in_growing_numbers_and_in_order() -> None:
    async def story() -> None:
        budget = RetryBudget()
        order: list[int] = []

        async def retry(number: int) -> None:
            await budget.take()
            order.append(number)
            await asyncio.sleep(1.0)
            budget.answered()

        waiting = [asyncio.create_task(retry(number)) for number in range(300)]
        await asyncio.gather(*waiting)
        assert order == list(range(300))
        assert asyncio.get_running_loop().time() <= 8.0

    run(story())


def test_answers_before_an_outage_allow_no_more_than_the_floor_in_it() -> None:
    async def story() -> None:
        budget = RetryBudget()
        for _ in range(10_000):
            budget.answered()
        waiting = [asyncio.create_task(budget.take()) for _ in range(100)]
        await asyncio.sleep(0.1)
        assert sum(task.done() for task in waiting) == FLOOR
        for task in waiting:
            task.cancel()

    run(story())


def test_who_gives_up_spends_nothing() -> None:
    async def story() -> None:
        budget = RetryBudget()
        for _ in range(int(FLOOR)):
            await budget.take()
        gone, late, stays = (asyncio.create_task(budget.take()) for _ in range(3))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        for _ in range(5):
            budget.first_failed()  # one whole retry
        late.cancel()  # it was let go in this moment
        await asyncio.wait_for(stays, 1)
        assert budget.waiting == 0

    run(story())
