"""Slots: who is served, by whom, and in which order. Nothing is sent here."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.fleet import Fleet
from beacon.errors import InputError
from beacon.router.router import Placement, Router
from beacon.router.slots import Line, Slots


def provider(name: str, models: str, region: str = "us", concurrency: int = 1, **more: Any) -> dict[str, Any]:
    url = "http://127.0.0.1:9/v1"
    given = {"name": name, "region": region, "transport": "openai", "url": url, "models": models.split()}
    return {**given, "concurrency": concurrency, **more}


def router_of(*providers: dict[str, Any]) -> Router:
    fleet = Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": list(providers)})
    return Router(fleet, base=Path(), environ={}, rng=random.Random(1))


def start(router: Router, model: str, region: str = "us", **more: Any) -> asyncio.Task[Placement]:
    return asyncio.create_task(router.place(model, region, **more))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_cell_is_served_by_its_own_model_and_region_only() -> None:
    router = router_of(provider("us-a", "alpha"), provider("us-b", "beta"), provider("eu-a", "alpha", "eu"))
    assert (await router.place("alpha", "us")).provider.name == "us-a"
    waiting = start(router, "alpha")
    await settle()
    assert not waiting.done()  # free slots of another model and of another region stand beside
    assert (await router.place("beta", "us")).provider.name == "us-b"
    assert (await router.place("alpha", "eu")).provider.name == "eu-a"
    waiting.cancel()


@pytest.mark.parametrize(
    ("model", "region", "says"),
    [
        ("beta", "eu", "beta is served in: us; eu serves: alpha"),
        ("alpha", "apac", "alpha is served in: eu, us; apac serves: nothing"),
        ("alpah", "us", "did you mean 'alpha'"),
    ],
)
async def test_a_cell_without_a_provider_is_refused(model: str, region: str, says: str) -> None:
    router = router_of(provider("us-a", "alpha beta"), provider("eu-a", "alpha", "eu"))
    with pytest.raises(InputError) as refused:
        await router.place(model, region)
    assert f"{model!r} in region {region!r}" in str(refused.value)
    assert says in str(refused.value)


async def test_slots_are_given_first_come_first_served_among_the_models_of_a_provider() -> None:
    router = router_of(provider("us-a", "alpha beta", concurrency=2))
    held = [await router.place("alpha", "us"), await router.place("alpha", "us")]
    waiting = [start(router, model) for model in ("alpha", "beta", "alpha", "beta")]
    await settle()
    assert router.snapshot()[0].waiting == 4
    served: list[int] = []
    for number, task in enumerate(waiting):
        task.add_done_callback(lambda _, number=number: served.append(number))
    for turn in range(4):
        held[turn].release()
        await settle()
        assert served == list(range(turn + 1))
        held.append(waiting[turn].result())
    assert [h.provider.name for h in held] == ["us-a"] * 6
    assert (router.snapshot()[0].in_flight, router.snapshot()[0].waiting) == (2, 0)
    assert held[-1].waited_ms >= 0


async def test_a_slow_provider_holds_up_no_other_cell() -> None:
    router = router_of(provider("us-a", "alpha"), provider("us-b", "beta"))
    await router.place("alpha", "us")
    stuck = [start(router, "alpha") for _ in range(100)]
    await settle()
    for _ in range(100):
        (await asyncio.wait_for(router.place("beta", "us"), 30)).release()
    assert not any(task.done() for task in stuck)
    for task in stuck:
        task.cancel()


async def test_a_slow_provider_holds_up_nobody_whom_another_can_serve() -> None:
    router = router_of(provider("us-a", "alpha"), provider("us-b", "alpha"))
    first, second = await router.place("alpha", "us"), await router.place("alpha", "us")
    assert {first.provider.name, second.provider.name} == {"us-a", "us-b"}
    for _ in range(50):
        waiting = start(router, "alpha")
        await settle()
        second.release()
        second = await asyncio.wait_for(waiting, 30)
    assert [p.waiting for p in router.snapshot()] == [0, 0]


async def test_work_fills_every_free_slot_of_the_cell_and_no_more() -> None:
    router = router_of(provider("small", "alpha", concurrency=2), provider("large", "alpha", concurrency=8))
    names = [(await router.place("alpha", "us")).provider.name for _ in range(10)]
    assert (names.count("small"), names.count("large")) == (2, 8)
    assert router.place_now("alpha", "us") is None


async def test_providers_to_avoid_are_left_out_if_there_is_another() -> None:
    router = router_of(provider("a", "alpha", concurrency=9), provider("b", "alpha"))
    placement = await router.place("alpha", "us", avoid=frozenset({"a"}))
    assert placement.provider.name == "b"
    waiting = start(router, "alpha", avoid=frozenset({"a"}))
    await settle()
    assert not waiting.done()  # it waits for b, though a is free
    placement.release()
    assert (await waiting).provider.name == "b"
    assert (await router.place("alpha", "us", avoid=frozenset({"a", "b"}))).provider.name == "a"


async def test_who_gives_up_waiting_is_passed_over_and_loses_no_slot() -> None:
    router = router_of(provider("a", "alpha"))
    held = await router.place("alpha", "us")
    gone, late, stays = start(router, "alpha"), start(router, "alpha"), start(router, "alpha")
    await settle()
    gone.cancel()
    held.release()  # `late` has been handed the slot, and is cancelled before it could take it
    late.cancel()
    placement = await asyncio.wait_for(stays, 30)
    assert (router.snapshot()[0].in_flight, router.snapshot()[0].waiting) == (1, 0)
    placement.release()
    assert router.snapshot()[0].in_flight == 0


async def test_releasing_twice_frees_one_slot() -> None:
    router = router_of(provider("a", "alpha", concurrency=2))
    first, _ = await router.place("alpha", "us"), await router.place("alpha", "us")
    first.release()
    first.release()
    assert router.snapshot()[0].in_flight == 1


async def test_a_blocked_provider_takes_nothing_new_until_its_time() -> None:
    slots = Slots(2, SystemClock())
    slots.block(0.05, "answered 429")
    slots.block(0.01, "a shorter one")
    assert (slots.free(), slots.blocked_why) == (0, "answered 429")
    line = Line([slots])
    waiting = [asyncio.create_task(line.wait()) for _ in range(3)]
    await settle()
    assert slots.waiting == 3
    await asyncio.wait_for(waiting[1], 30)
    assert (slots.blocked_until, slots.in_flight, slots.waiting) == (None, 2, 1)
    slots.give_back()
    assert await asyncio.wait_for(waiting[2], 30) is slots


async def test_a_slot_given_back_while_blocked_is_kept_for_later() -> None:
    slots = Slots(1, SystemClock())
    slots.take()
    waiting = asyncio.create_task(Line([slots]).wait())
    await settle()
    slots.block(0.05, "answered 429")
    slots.give_back()
    await settle()
    assert not waiting.done()
    await asyncio.wait_for(waiting, 30)


async def test_closing_the_router_ends_the_waiting() -> None:
    async with router_of(provider("a", "alpha")) as router:
        await router.place("alpha", "us")
        waiting = start(router, "alpha")
        await settle()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_an_execution_whose_deadline_passed_while_it_waited_is_told_what_for() -> None:
    router = router_of(provider("us-a", "alpha"), provider("us-b", "alpha", cold_start="60s"))
    held = [await router.place("alpha", "us") for _ in range(2)]
    failure = router.expired_while_waiting("alpha", "us", 1500.0)
    assert (failure.kind, failure.stage) == (FailureKind.DEADLINE_EXPIRED, Stage.ROUTE)
    assert failure.stages_ms == {"route": 1500.0}
    for words in ("us-a has 1 of 1 slots in use", "us-b has 1 of 1", "1.50 s into route"):
        assert words in failure.message
    cold = router_of(provider("us-b", "alpha", cold_start="60s"))
    assert cold.expired_while_waiting("alpha", "us", 1.0).kind is FailureKind.COLD_START_EXPIRED
    assert len(held) == 2


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_no_slot_is_lost_or_given_twice(data: st.DataObject) -> None:
    """Random places, releases and cancellations over two cells that share a provider."""

    async def play() -> None:
        router = router_of(provider("a", "alpha", concurrency=2), provider("b", "alpha beta", concurrency=2))
        tasks: list[asyncio.Task[Placement]] = []
        for _ in range(data.draw(st.integers(1, 30))):
            step = data.draw(st.sampled_from(["alpha", "beta", "release", "cancel", "settle"]))
            held = [task for task in tasks if task.done() and not task.cancelled()]
            open_tasks = [task for task in tasks if not task.done()]
            if step in {"alpha", "beta"}:
                tasks.append(start(router, step))
            elif step == "release" and held:
                data.draw(st.sampled_from(held)).result().release()
            elif step == "cancel" and open_tasks:
                data.draw(st.sampled_from(open_tasks)).cancel()
            else:
                await settle()
            for snapshot in router.snapshot():
                assert 0 <= snapshot.in_flight <= snapshot.limit
        for _ in range(4 * len(tasks) + 1):  # whatever still waits is served once the slots come back
            await settle()
            for task in tasks:
                if task.done() and not task.cancelled():
                    task.result().release()
        assert all(task.done() for task in tasks)
        assert [(p.in_flight, p.waiting) for p in router.snapshot()] == [(0, 0), (0, 0)]

    asyncio.run(play())
