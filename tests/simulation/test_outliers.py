"""A provider that fails is left out of its cell and taken back; a healthy one stays in, and an outage trickles."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from beacon.domain.answer import Answer, Outcome
from beacon.domain.failure import FailureKind
from beacon.router.ejection import FIRST_S, JITTER, LONGEST_S
from beacon.router.router import Router
from tests.simulation.cell import Simulated, ask, fleet_of, keep_asking, router_of
from tests.simulation.virtual import VirtualClock, run

DEAD = {"fails": FailureKind.REFUSED_CONNECTION}


def states(router: Router) -> dict[str, str]:
    return {p.name: p.state.value for p in router.snapshot()}


@pytest.mark.parametrize("seed", range(5))
def test_a_dead_provider_among_three_is_ejected_within_five_failures_and_taken_back_after_it_heals(seed: int) -> None:
    dead, *others = Simulated("us-a", **DEAD), Simulated("us-b"), Simulated("us-c")

    async def story() -> None:
        async with router_of(dead, *others, seed=seed) as router:
            await keep_asking(router, 6, 5)
            assert states(router)["us-a"] == "ejected"
            assert len(dead.asked) <= 5 + 5  # five that showed it, and what was under way beside the fifth
            told = [change for change in router.changes() if change.kind == "ejected"]
            assert told[0].provider == "us-a"
            assert "5 failures in a row" in told[0].why
            assert "us-a failed as told" in told[0].why
            blocked = next(p for p in router.snapshot() if p.name == "us-a")
            assert "is ejected after 5 failures in a row" in (blocked.blocked_why or "")
            assert blocked.blocked_until is not None
            before = len(dead.asked)
            await keep_asking(router, 6, 60, first=1000)
            assert before < len(dead.asked) <= before + 3  # one on each trial, after 10, 20 and 40 s
            dead.fails = None
            healed_at = VirtualClock().monotonic()
            await keep_asking(router, 6, 200, first=2000)
            assert states(router)["us-a"] == "unknown" or states(router)["us-a"] == "warm"
            assert dead.answers[0] - healed_at <= 8 * FIRST_S * (1 + JITTER) + 2
            assert len(dead.answers) > 100

    run(story())


@pytest.mark.parametrize("kind", [FailureKind.PROVIDER_ERROR, FailureKind.PROTOCOL_ERROR, FailureKind.OUTCOME_UNKNOWN])
def test_one_bad_request_ejects_nobody_however_often_it_is_tried(kind: FailureKind) -> None:
    first, second = Simulated("us-a", fails=kind), Simulated("us-b", fails=kind)

    async def story() -> None:
        async with router_of(first, second) as router:
            for _ in range(40):
                await ask(router, 1)
            assert "ejected" not in states(router).values()

    run(story())


@pytest.mark.parametrize(("kind", "status"), [(FailureKind.PROVIDER_ERROR, 400), (FailureKind.RATE_LIMITED, 429)])
def test_what_is_said_about_requests_ejects_nobody(kind: FailureKind, status: int) -> None:
    first, second = Simulated("us-a", fails=kind, http_status=status), Simulated("us-b")

    async def story() -> None:
        async with router_of(first, second) as router:
            await keep_asking(router, 4, 20)
            assert "ejected" not in states(router).values()

    run(story())


@pytest.mark.parametrize(("size", "most"), [(1, 0), (2, 1), (3, 2), (6, 4)])
def test_a_full_outage_ejects_a_share_and_trickles_on(size: int, most: int) -> None:
    cell = [Simulated(f"us-{n}", **DEAD) for n in range(size)]

    async def story() -> None:
        async with router_of(*cell) as router:
            await keep_asking(router, 12, 30)
            assert list(states(router).values()).count("ejected") == most
            asked = sum(len(p.asked) for p in cell)
            await keep_asking(router, 12, 40, first=1000)
            assert sum(len(p.asked) for p in cell) > asked
            for provider in cell:
                provider.fails = None
            outcomes = await keep_asking(router, 12, 50, first=2000)
            assert sum(isinstance(outcome, Answer) for outcome in outcomes) > 0.9 * len(outcomes)

    run(story())


def test_a_provider_that_fails_half_the_time_is_ejected_too() -> None:
    flaky, good = Simulated("us-a"), Simulated("us-b")

    async def story() -> None:
        async with router_of(flaky, good) as router:

            async def flicker() -> None:
                while True:
                    flaky.fails = FailureKind.PROVIDER_ERROR if flaky.fails is None else None
                    await asyncio.sleep(0.07)

            flickering = asyncio.create_task(flicker())
            await keep_asking(router, 8, 60)
            flickering.cancel()
            assert any("requests failed in 30 s" in c.why or "in a row" in c.why for c in router.changes())

    run(story())


def test_the_pause_grows_to_its_longest_and_one_request_ends_it() -> None:
    dead, good = Simulated("us-a", **DEAD), Simulated("us-b")

    async def story() -> None:
        async with router_of(dead, good) as router:
            await keep_asking(router, 4, 3000)
            out = [change.at for change in router.changes() if change.kind == "ejected"]
            gaps = [later - earlier for earlier, later in itertools.pairwise(out)]
            for number, gap in enumerate(gaps):
                lasts = min(LONGEST_S, FIRST_S * 2**number)
                assert (1 - JITTER) * lasts <= gap <= (1 + JITTER) * lasts + 3
            assert gaps[-1] >= (1 - JITTER) * LONGEST_S

    run(story())


def test_a_hanging_provider_delays_nobody_but_those_it_has() -> None:
    hanging, good = Simulated("us-a", latency_s=10_000), Simulated("us-b", latency_s=1.0)

    async def story() -> list[Outcome]:
        async with router_of(hanging, good, concurrency=8) as router:
            outcomes: list[Outcome] = []

            async def one(number: int) -> None:
                outcomes.append(await ask(router, number, deadline_s=300))

            tasks = [asyncio.create_task(one(number)) for number in range(100)]
            await asyncio.sleep(60)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return outcomes

    assert len(run(story())) >= 100 - 8


def test_a_reload_keeps_state_lets_finish_and_applies_at_once() -> None:
    stays, goes, comes = Simulated("us-a"), Simulated("us-b", latency_s=50.0), Simulated("us-c")

    async def story() -> None:
        async with router_of(stays, goes, concurrency=1) as router:
            under_way = [asyncio.create_task(ask(router, number)) for number in range(2)]
            await asyncio.sleep(0)
            waiting = [asyncio.create_task(ask(router, number)) for number in range(2, 10)]
            await asyncio.sleep(0.1)
            lane = router._registry.lanes["us-a"]
            wires = router._registry.wires

            def wired(*args):
                made = wires(*args)
                for one in made:
                    if one.provider.name == "us-c":
                        one.transport = comes
                    elif one.provider.name == "us-a":
                        one.transport = stays
                return made

            router._registry.wires = wired  # type: ignore[method-assign]
            await router.reload(fleet_of([stays, comes], concurrency=4))
            await asyncio.sleep(0)
            assert router._registry.lanes["us-a"] is lane
            assert [(p.name, p.limit) for p in router.snapshot()] == [("us-a", 4), ("us-c", 4)]
            assert (stays.busy, comes.busy, goes.busy) == (4, 4, 1)
            outcomes = await asyncio.gather(*under_way, *waiting)
            assert all(isinstance(outcome, Answer) for outcome in outcomes)
            assert len(goes.asked) == 1
            await asyncio.sleep(0.1)
            assert goes.closed

    run(story())


def test_who_waits_in_a_cell_that_lost_its_last_provider_is_served_when_it_has_one_again() -> None:
    first, other = Simulated("us-a"), Simulated("us-b")

    async def story() -> None:
        async with router_of(first, concurrency=1) as router:
            held = await router.place("alpha", "us")
            waiting = asyncio.create_task(router.place("alpha", "us"))
            await asyncio.sleep(1)
            await router.reload(fleet_of([other], models=["beta"]))
            held.release()
            late = asyncio.create_task(router.place("alpha", "us"))
            await asyncio.sleep(1)
            assert not waiting.done()
            assert not late.done()
            assert "no provider of the fleet serves it now" in router.expired_while_waiting("alpha", "us", 1.0).message
            await router.reload(fleet_of([first]))
            assert (await waiting).provider.name == (await late).provider.name == "us-a"
            await asyncio.sleep(1)

    run(story())


def test_a_paused_provider_takes_nothing_new_and_a_paused_region_neither() -> None:
    first, second = Simulated("us-a"), Simulated("us-b")

    async def story() -> None:
        async with router_of(first, second, concurrency=2) as router:
            router.pause("us-a", "new drivers")
            await keep_asking(router, 6, 5)
            assert first.asked == []
            assert states(router)["us-a"] == "paused"
            assert router.snapshot()[0].blocked_why == "is paused: new drivers"
            router.pause("us", "moving house")
            router.resume("us-a")
            waiting = asyncio.create_task(router.place("alpha", "us"))
            await asyncio.sleep(5)
            assert not waiting.done()
            router.resume("us")
            (await waiting).release()
            assert set(states(router).values()) <= {"unknown", "warm"}

    run(story())


def test_pausing_the_healthy_one_tries_the_ejected_one_at_once() -> None:
    dead, good = Simulated("us-a", **DEAD), Simulated("us-b")

    async def story() -> None:
        async with router_of(dead, good) as router:
            await keep_asking(router, 4, 5)
            assert states(router)["us-a"] == "ejected"
            dead.fails = None
            router.pause("us-b", "an upgrade")
            assert isinstance(await ask(router, 5000), Answer)
            assert states(router)["us-a"] == "warm"

    run(story())
