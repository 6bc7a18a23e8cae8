from __future__ import annotations

import pytest

from beacon.analysis.family import call_of, holm, q_values


def test_benjamini_and_hochbergs_own_example() -> None:
    """The fifteen p-values of their paper: four are rejected at 0.05."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    q = q_values(p)
    assert sum(value <= 0.05 for value in q) == 4
    assert q[3] == pytest.approx(0.0095 * 15 / 4)
    assert q == sorted(q)


def test_q_values_keep_their_places() -> None:
    assert q_values([0.5, 0.01, 0.04]) == pytest.approx([0.5, 0.03, 0.06])
    assert q_values([]) == []


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize(
    ("q", "interval", "call"),
    [
        (0.01, (0.1, 0.3), "difference"),
        (0.01, (0.01, 0.04), "negligible"),
        (0.9, (-0.04, 0.05), "negligible"),
        (0.05, (0.02, 0.3), "difference"),
        (0.051, (0.001, 0.3), "undecided"),
        (0.9, (-0.06, 0.04), "undecided"),
    ],
)
def test_call(q: float, interval: tuple[float, float], call: str) -> None:
    assert call_of(q, interval, alpha=0.05, smallest_effect=0.05) == call
