"""Student's t with a whole number of degrees of freedom, in closed form.

Zelen and Severo (1964), formulas 26.7.3 and 26.7.4. Own code, because loading SciPy takes longer than a
report and because the figures must not depend on a library's version. Absolute error below 1e-13.
"""

from __future__ import annotations

import math
from functools import lru_cache


def two_sided_p(t: float, df: int) -> float:
    """P(|T| > t) for t >= 0 and df >= 1."""
    theta = math.atan2(t, math.sqrt(df))
    cosine2 = math.cos(theta) ** 2
    if df % 2:
        term, total = math.cos(theta), 0.0
        if df > 1:
            total = term
            for i in range(2, df - 1, 2):
                term *= cosine2 * i / (i + 1)
                total += term
        inside = 2 / math.pi * (theta + math.sin(theta) * total)
    else:
        term = total = 1.0
        for i in range(1, df - 2, 2):
            term *= cosine2 * i / (i + 1)
            total += term
        inside = math.sin(theta) * total
    return min(1.0, max(0.0, 1.0 - inside))


@lru_cache(maxsize=4096)
def quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p, for 0.5 <= p < 1; by bisection to a relative 1e-12."""
    tail = 2 * (1 - p)
    low, high = 0.0, 1.0
    while two_sided_p(high, df) > tail:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if two_sided_p(middle, df) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2
