"""The adaptive limit as a rule, without a provider."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beacon.router.limits import DECREASE, HOLD_S, STEP_S, AdaptiveLimit

EVENTS = st.lists(
    st.tuples(st.sampled_from(["answered", "refused", "bound"]), st.floats(0, 20), st.booleans(), st.integers(1, 70)),
    max_size=60,
)


@given(EVENTS, st.integers(1, 64), st.integers(1, 64))
def test_it_stays_within_its_bounds_and_tells_each_change(
    events: list[tuple[str, float, bool, int]], one: int, other: int
) -> None:
    limit = AdaptiveLimit(max(one, other), min(one, other))
    now = 0.0
    for kind, later, full, number in events:
        now += later
        before = limit.limit
        if kind == "answered":
            change = limit.answered(now, full=full)
            assert limit.limit >= before
        elif kind == "refused":
            change = limit.refused(number, now, now, "it answered HTTP 429")
            assert limit.limit <= before
        else:
            change = limit.bound(number, min(number, one, other))
        assert limit.floor <= limit.limit <= limit.ceiling
        assert (change is None) == (limit.limit == before)
        assert change is None or (change.before, change.after) == (before, limit.limit)


def test_refusals_of_one_burst_count_once() -> None:
    limit = AdaptiveLimit(32)
    assert limit.refused(32, 1.0, 2.0, "429") is not None
    for _ in range(20):
        assert limit.refused(32, 1.5, 2.1, "429") is None
    assert limit.limit == int(32 * DECREASE)
    assert limit.refused(22, 2.2, 2.3, "429") is not None


def test_a_limit_that_is_not_used_does_not_rise() -> None:
    limit = AdaptiveLimit(32)
    limit.refused(10, 1.0, 1.0, "429")
    for second in range(100):
        assert limit.answered(float(second), full=False) is None


def test_what_was_refused_is_not_tried_again_at_once() -> None:
    limit = AdaptiveLimit(32)
    limit.refused(10, 1.0, 1.0, "429")
    now = 1.0
    while now < 1.0 + HOLD_S:
        limit.answered(now, full=True)
        assert limit.limit < 10
        now += STEP_S
    assert limit.limit == 9
    limit.answered(now + STEP_S, full=True)
    assert limit.limit == 10


def test_another_ceiling_holds_at_once_and_a_learnt_limit_stays() -> None:
    limit = AdaptiveLimit(8)
    limit.bound(16, 1)
    assert limit.limit == 16
    limit.refused(16, 1.0, 1.0, "429")
    assert limit.bound(32, 1) is None
    assert limit.limit == 11
    limit.bound(4, 2)
    assert limit.limit == 4
