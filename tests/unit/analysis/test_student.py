from __future__ import annotations

import pytest
from scipy import special

from beacon.analysis import student

DEGREES = (1, 2, 3, 4, 5, 6, 9, 29, 59, 60, 499, 5_000)


@pytest.mark.parametrize("df", DEGREES)
def test_tail_agrees_with_scipy(df: int) -> None:
    for t in (0.0, 0.3, 1.0, 2.2, 4.0, 9.0, 60.0):
        assert student.two_sided_p(t, df) == pytest.approx(2 * special.stdtr(df, -t), abs=1e-12)


@pytest.mark.parametrize("df", DEGREES)
def test_quantile_agrees_with_scipy(df: int) -> None:
    for p in (0.6, 0.8, 0.975, 0.9994):
        assert student.quantile(p, df) == pytest.approx(special.stdtrit(df, p), rel=1e-9)
