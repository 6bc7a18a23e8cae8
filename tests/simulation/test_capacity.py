"""What a provider takes at once is found and kept, also when it changes."""

from __future__ import annotations

import asyncio

import pytest

from beacon.domain.answer import Answer
from tests.simulation.cell import Simulated, ask, keep_asking, router_of
from tests.simulation.virtual import run


@pytest.mark.parametrize("latency_s", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("before", "after"), [(32, 4), (4, 32), (32, 16), (8, 12)])
def test_after_a_step_nine_tenths_of_the_best_throughput_are_reached_in_30_s_and_kept(
    before: int, after: int, latency_s: float, seed: int
) -> None:
    step, end = 100.0, 300.0
    provider = Simulated("us-a", capacity=before, latency_s=latency_s)

    async def story() -> list[float]:
        async with router_of(provider, concurrency=32, seed=seed) as router:

            async def changes() -> None:
                await asyncio.sleep(step)
                provider.capacity = after

            await asyncio.gather(changes(), keep_asking(router, 64, end))
        return provider.answers

    answers = run(story())
    for begin, finish, capacity in ((30, step, before), (step + 30, step + 60, after), (step + 60, end, after)):
        best = capacity / latency_s * (finish - begin)
        assert sum(begin <= moment < finish for moment in answers) >= 0.9 * best


def test_a_capacity_that_stays_is_rarely_pushed_beyond() -> None:
    provider = Simulated("us-a", capacity=4)

    async def story() -> int:
        async with router_of(provider, concurrency=32) as router:
            await keep_asking(router, 64, 30)
            outcomes = await keep_asking(router, 64, 330)
        return sum(not isinstance(outcome, Answer) for outcome in outcomes)

    assert run(story()) <= 300 / 10 * 2


def test_every_change_of_a_limit_is_told_with_its_reason() -> None:
    provider = Simulated("us-a", capacity=2)

    async def story() -> None:
        async with router_of(provider, concurrency=4) as router:
            await keep_asking(router, 8, 5)
            provider.capacity = 4
            await keep_asking(router, 8, 60)
            told = [(change.what, change.why) for change in router.changes()]
            assert ("may have 2 requests under way, after 4", "it answered HTTP 429 with 3 under way") in told
            assert told[-1] == ("may have 4 requests under way, after 3", "it answers all that it is asked")
            assert router.snapshot()[0].limit == router.snapshot()[0].ceiling == 4

    run(story())


def test_the_limit_stays_between_floor_and_ceiling() -> None:
    provider = Simulated("us-a", capacity=0)

    async def story() -> None:
        async with router_of(provider, concurrency=16, min_concurrency=3) as router:
            await keep_asking(router, 16, 30)
            assert router.snapshot()[0].limit == 3
            provider.capacity = 100
            await keep_asking(router, 64, 90)
            assert router.snapshot()[0].limit == 16
            assert provider.busy == 0

    run(story())


def test_a_provider_that_names_a_time_is_not_asked_before_it() -> None:
    provider = Simulated("us-a", capacity=1, retry_after_s=20.0)

    async def story() -> None:
        async with router_of(provider, concurrency=2) as router:
            await asyncio.gather(ask(router, 1), ask(router, 2))
            await ask(router, 3)
        refused_at = provider.asked[1]
        assert refused_at + 20.0 <= provider.asked[2] < refused_at + 20.1

    run(story())
