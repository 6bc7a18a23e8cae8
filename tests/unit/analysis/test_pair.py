from __future__ import annotations

import math
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from beacon.analysis.exact import grid
from beacon.analysis.pair import Cluster, Counts, compare, imaginary, permutation_p


def run(clusters: list[Cluster], *, draws: int = 999, seed: int = 0) -> object:
    return compare(clusters, alpha=0.05, draws=draws, seed=seed)


@st.composite
def counts(draw: st.DrawFn, most: int = 6) -> Counts:
    na, nb = draw(st.integers(1, most)), draw(st.integers(1, most))
    return Counts(draw(st.integers(0, na)), na, draw(st.integers(0, nb)), nb)


cluster = st.lists(counts(), min_size=1, max_size=2).map(tuple)
tables = st.lists(cluster, min_size=6, max_size=14)


def one_each(up: int, down: int, both: int, neither: int) -> list[Cluster]:
    """One answer an arm: questions where only the second is in the class, only the first, both, neither."""
    return (
        [(Counts(0, 1, 1, 1),)] * up
        + [(Counts(1, 1, 0, 1),)] * down
        + [(Counts(1, 1, 1, 1),)] * both
        + [(Counts(0, 1, 0, 1),)] * neither
    )


def test_effect_and_interval_follow_the_formula() -> None:
    clusters: list[Cluster] = [(Counts(k % 3, 5, (2 * k) % 5, 5),) for k in range(10)]
    differences = [c.kb / 5 - c.ka / 5 for (c,) in clusters]
    mean = sum(differences) / 10
    variance = sum((d - mean) ** 2 for d in differences) / 9 / 10 + 2 / 50**2
    half = special.stdtrit(9, 0.975) * math.sqrt(variance)
    test = compare(clusters, alpha=0.05, draws=99, seed=0)
    assert test is not None
    assert test.effect == pytest.approx(mean)
    assert test.interval == pytest.approx((mean - half, mean + half))
    assert test.n == (50, 50)
    assert (test.direction.up, test.direction.down) == (
        sum(d > 0 for d in differences),
        sum(d < 0 for d in differences),
    )


def test_with_one_answer_a_cell_it_is_the_exact_paired_test() -> None:
    """Only discordant questions count, and their signs are a fair coin: McNemar's exact test."""
    up, down = 14, 4
    exact = 2 * sum(math.comb(18, k) for k in range(up, 19)) / 2**18
    assert permutation_p(one_each(up, down, 9, 23), 999, 0) == pytest.approx(exact, rel=1e-9)


def test_full_distribution_agrees_with_every_relabelling_listed() -> None:
    clusters: list[Cluster] = [(Counts(k % 2, 2, (k // 2) % 3, 2),) for k in range(6)]
    floor = imaginary(clusters)

    def statistic(differences: list[float]) -> float:
        mean = sum(differences) / 6
        return abs(mean) / math.sqrt(sum((d - mean) ** 2 for d in differences) / 5 / 6 + floor)

    relabelled = []
    for (c,) in clusters:
        answers = [1] * (c.ka + c.kb) + [0] * (4 - c.ka - c.kb)
        total = sum(answers)
        relabelled.append([(total - 2 * sum(answers[i] for i in arm)) / 2 for arm in combinations(range(4), 2)])
    observed = statistic([c.difference for (c,) in clusters])
    reached = [statistic(list(d)) >= observed * (1 - 1e-9) for d in product(*relabelled)]
    assert permutation_p(clusters, 9_999, 0) == pytest.approx(sum(reached) / len(reached), rel=1e-9)


def test_drawing_agrees_with_the_full_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(3)
    clusters: list[Cluster] = [(Counts(random.randint(0, 3), 4, random.randint(1, 4), 4),) for _ in range(9)]
    assert grid(tuple(clusters), 9_999) is not None
    full = permutation_p(clusters, 9_999, 0)
    monkeypatch.setattr("beacon.analysis.exact.WORK_OF_A_DRAW", 0)
    assert permutation_p(clusters, 9_999, 0) == pytest.approx(full, abs=4 * math.sqrt(full * (1 - full) / 9_999))


@settings(deadline=None, max_examples=60)
@given(tables)
def test_interval_excludes_zero_wherever_p_is_small(clusters: list[Cluster]) -> None:
    test = compare(clusters, alpha=0.05, draws=99, seed=0)
    assert test is not None
    low, high = test.interval
    assert low <= test.effect <= high
    if test.p <= 0.05:
        assert not low <= 0 <= high


@settings(deadline=None, max_examples=60)
@given(tables, st.randoms(use_true_random=False))
def test_order_of_clusters_and_strata_changes_nothing(clusters: list[Cluster], random: Random) -> None:
    shuffled = [tuple(random.sample(strata, len(strata))) for strata in clusters]
    random.shuffle(shuffled)
    assert run(shuffled) == run(clusters)


@settings(deadline=None, max_examples=60)
@given(tables)
def test_swapped_arms_give_the_mirrored_finding(clusters: list[Cluster]) -> None:
    test = compare(clusters, alpha=0.05, draws=99, seed=0)
    swapped = compare([tuple(c.swapped() for c in strata) for strata in clusters], alpha=0.05, draws=99, seed=0)
    assert test is not None
    assert swapped is not None
    assert swapped.p == test.p
    assert swapped.effect == -test.effect
    assert swapped.interval == (-test.interval[1], -test.interval[0])


def test_large_tables_are_drawn_the_same_from_either_side() -> None:
    random = Random(5)
    clusters: list[Cluster] = [(Counts(random.randint(0, 19), 19, random.randint(3, 20), 20),) for _ in range(40)]
    assert grid(tuple(clusters), 999) is None
    swapped = [tuple(c.swapped() for c in strata) for strata in clusters]
    assert permutation_p(swapped, 999, 0) == permutation_p(clusters, 999, 0)
    assert permutation_p(clusters[::-1], 999, 0) == permutation_p(clusters, 999, 0)


def test_fewer_than_six_questions_say_nothing() -> None:
    assert compare(one_each(5, 0, 0, 0), alpha=0.05, draws=99, seed=0) is None
    assert compare(one_each(6, 0, 0, 0), alpha=0.05, draws=99, seed=0) is not None


def test_interval_does_not_collapse_where_nothing_deviates() -> None:
    test = compare([(Counts(0, 3, 0, 3),)] * 10, alpha=0.05, draws=99, seed=0)
    assert test is not None
    assert test.p == 1.0
    assert test.interval[1] > 0.05


def test_noise_of_repeats_is_unknown_with_one_answer() -> None:
    once = compare(one_each(8, 2, 2, 2), alpha=0.05, draws=99, seed=0)
    twice = compare([(Counts(0, 2, 1, 2),)] * 8, alpha=0.05, draws=99, seed=0)
    assert once is not None
    assert twice is not None
    assert once.interval_pack is None
    assert twice.interval_pack is not None


def test_strata_of_a_question_count_as_one_question() -> None:
    test = compare([(Counts(0, 2, 2, 2), Counts(1, 2, 1, 2))] * 8, alpha=0.05, draws=99, seed=0)
    assert test is not None
    assert test.clusters == 8
    assert test.effect == 0.5
