"""Power of two choices: whom it may take, and how evenly it does."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.domain.fleet import Fleet
from beacon.router.lane import Lane
from beacon.router.latency import DECAY_S, PeakEwma
from beacon.router.router import Router
from beacon.router.selection import choose

MODEL = "alpha"


def lanes_of(*limits: int) -> list[Lane]:
    rows = [
        {"name": f"us-{n}", "region": "us", "transport": "openai", "url": "http://127.0.0.1:9/v1", "models": [MODEL],
         "concurrency": limit}
        for n, limit in enumerate(limits)
    ]  # fmt: skip
    router = Router(Fleet.model_validate({"providers": rows}), base=Path(), environ={}, rng=random.Random(1))
    return list(router._registry.lanes.values())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 8), st.none() | st.floats(0.01, 90)), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_a_lane_at_its_limit_is_never_chosen_and_one_with_a_slot_always_is(
    given_lanes: list[tuple[int, int, float | None]], seed: int
) -> None:
    lanes = lanes_of(*(limit for limit, _, _ in given_lanes))
    for lane, (limit, busy, took_s) in zip(lanes, given_lanes, strict=True):
        lane.slots.in_flight = min(busy, limit)
        if took_s is not None:
            lane._latency_of(MODEL).observe(took_s, 0.0)
    choice = choose(lanes, MODEL, 1.0, random.Random(seed))
    open_lanes = [lane for lane in lanes if lane.slots.free()]
    assert (choice is None) == (not open_lanes)
    assert choice is None or choice.lane in open_lanes
    again = choose(lanes, MODEL, 1.0, random.Random(seed))
    assert choice == again  # the same draw chooses the same
    if choice is not None and len(lanes) > 1:
        assert f"of {len(lanes)}, {len(open_lanes)} of them open" in (choice.why or "")


def test_of_two_the_one_with_less_work_is_taken_and_the_reason_told() -> None:
    quick, slow = lanes_of(8, 8)
    quick._latency_of(MODEL).observe(0.5, 0.0)
    slow._latency_of(MODEL).observe(2.0, 0.0)
    quick.slots.in_flight = 2  # 0.5 s x 3 against 2 s x 1
    choice = choose([slow, quick], MODEL, 0.0, random.Random(1))
    assert choice is not None
    assert choice.lane is quick
    assert choice.why == (
        "the less loaded of two drawn, of 2, 2 of them open: 2 under way and answers of 0.5 s against us-1 with "
        "0 under way and answers of 2 s"
    )
    quick.slots.in_flight = 4
    choice = choose([slow, quick], MODEL, 0.0, random.Random(1))
    assert choice is not None
    assert choice.lane is slow


def test_equal_providers_share_the_work() -> None:
    lanes, rng = lanes_of(*[1000] * 8), random.Random(1)
    for _ in range(4000):
        choice = choose(lanes, MODEL, 0.0, rng)
        assert choice is not None
        choice.lane.slots.take()
    shares = Counter(lane.slots.in_flight for lane in lanes)
    assert max(shares) - min(shares) <= 5  # at random it would be about 60


def test_a_peak_counts_at_once_and_is_forgotten_with_time() -> None:
    latency = PeakEwma()
    assert latency.at(0.0) is None
    latency.observe(1.0, 0.0)
    latency.observe(30.0, 1.0)
    assert latency.at(1.0) == 30.0
    latency.observe(1.0, 1.0 + DECAY_S)
    assert 11 < (latency.at(1.0 + DECAY_S) or 0) < 12
    assert (latency.at(1.0 + 20 * DECAY_S) or 0) < 0.001
