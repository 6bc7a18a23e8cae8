from __future__ import annotations

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.analysis.omnibus import Arm, omnibus_p, question_pair


def listed(arms: list[Arm]) -> float:
    """Every table with these margins, by its probability."""
    marked, total = sum(k for k, _ in arms), sum(n for _, n in arms)
    observed = sum(k * k / n for k, n in arms)
    p = 0.0
    for table in product(*(range(n + 1) for _, n in arms)):
        if sum(table) == marked and sum(k * k / n for k, (_, n) in zip(table, arms, strict=True)) >= observed - 1e-9:
            p += math.prod(math.comb(n, k) for k, (_, n) in zip(table, arms, strict=True)) / math.comb(total, marked)
    return p


@st.composite
def arm(draw: st.DrawFn) -> Arm:
    n = draw(st.integers(1, 6))
    return draw(st.integers(0, n)), n


@settings(deadline=None, max_examples=60)
@given(st.lists(arm(), min_size=2, max_size=4))
def test_agrees_with_all_tables_listed(arms: list[Arm]) -> None:
    assert omnibus_p(arms, draws=99, seed=0) == pytest.approx(listed(arms), rel=1e-9)
    assert omnibus_p(arms[::-1], draws=99, seed=0) == omnibus_p(arms, draws=99, seed=0)


def test_arms_without_an_answer_are_left_out() -> None:
    assert omnibus_p([(3, 5), (0, 0), (0, 5)], 99, 0) == omnibus_p([(3, 5), (0, 5)], 99, 0)
    assert omnibus_p([(3, 5), (0, 0)], 99, 0) == 1.0


def test_large_tables_are_drawn_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = [(2, 8), (3, 8), (7, 9)]
    exact = omnibus_p(arms, 9_999, 0)
    monkeypatch.setattr("beacon.analysis.omnibus.MOST_TABLES", 0)
    assert omnibus_p(arms, 9_999, 0) == pytest.approx(exact, abs=4 * math.sqrt(exact / 9_999))


@settings(deadline=None, max_examples=60)
@given(arm(), arm())
def test_interval_of_a_pair_excludes_zero_wherever_p_is_small(a: Arm, b: Arm) -> None:
    pair = question_pair(a, b, 0.05, 99, 0)
    if pair.p <= 0.05:
        assert not pair.interval[0] <= 0 <= pair.interval[1]


def test_ten_against_none_is_shown() -> None:
    pair = question_pair((0, 10), (10, 10), 0.05, 99, 0)
    assert pair.effect == 1.0
    assert pair.p == pytest.approx(2 / math.comb(20, 10), rel=0.2)
