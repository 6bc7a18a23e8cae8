"""A small version, with fixed seeds, of what `make calibrate` measures; limits leave room for so few jobs."""

from __future__ import annotations

import pytest

from beacon.analysis.calibration import Shape, simulate
from beacon.analysis.power import Design, smallest_effect

JOBS = 250
UNEVEN = (0.0, 0.1, 0.3)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(30, 1, 0.5),
        Shape(30, 5, 0.5),
        Shape(10, 5, 0.1, UNEVEN),
        Shape(30, 20, 0.5, interaction=1.0),
    ],
    ids=str,
)
def test_nothing_is_found_where_there_is_nothing(shape: Shape) -> None:
    """0.065 of jobs at most, and three standard errors of so few jobs."""
    tally = simulate(shape, JOBS, draws=199, seed=20)
    assert tally.any_finding / JOBS <= 0.065 + 3 * 0.0156
    assert tally.contradictions == 0
    assert tally.covers_pack / tally.pairs >= 0.94
    assert tally.covers_population / tally.pairs >= 0.9
    assert tally.small_p[0.05] / tally.null_pairs <= 0.05 + 3 * 0.0138


def test_the_smallest_effect_of_the_plan_is_found_as_often_as_it_says() -> None:
    effect = smallest_effect(Design(questions=30, repeats=5, pairs=3), 0.1)
    assert effect is not None
    tally = simulate(Shape(30, 5, 0.1, shifted_rate=0.1 + effect), JOBS, draws=199, seed=21)
    assert 0.75 <= tally.found / tally.real <= 0.97
    assert tally.false_share / JOBS <= 0.05
    assert tally.contradictions == 0


def test_the_same_seed_gives_the_same_jobs() -> None:
    shape = Shape(10, 2, 0.3, UNEVEN)
    assert simulate(shape, 20, draws=99, seed=3) == simulate(shape, 20, draws=99, seed=3)
