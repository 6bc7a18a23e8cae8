"""One question of one model, all levels at once: an exact test of independence, and pairs after it.

Freeman and Halton (1951): all tables with the same margins, ordered by sum k_g^2/n_g, which for given margins
is Pearson's statistic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from beacon.analysis.draws import Bits, p_value
from beacon.analysis.pair import TIE

MOST_TABLES = 300_000
"""More are drawn instead of listed."""

Arm = tuple[int, int]
"""In the class, of answers."""


def omnibus_p(arms: Sequence[Arm], draws: int, seed: int) -> float:
    """Of all arms with answers; 1 where there are fewer than two."""
    answered = sorted((n, k) for k, n in arms if n)
    sizes = tuple(n for n, _ in answered)
    marked = sum(k for _, k in answered)
    if len(sizes) < 2 or marked in {0, sum(sizes)}:
        return 1.0
    unit = math.lcm(*sizes)
    observed = sum(k * k * (unit // n) for n, k in answered)
    if math.prod(n + 1 for n in sizes[:-1]) > MOST_TABLES:
        return _drawn(tuple(answered), unit, observed, draws, seed)
    return _tail(marked, sizes)[observed]


@lru_cache(maxsize=16_384)
def _tail(marked: int, sizes: tuple[int, ...]) -> dict[int, float]:
    """For every possible statistic, in units of 1/lcm(sizes), the probability of it or a larger one."""
    unit = math.lcm(*sizes)
    states: dict[tuple[int, int], int] = {(0, 0): 1}
    left = sum(sizes)
    for n in sizes:
        left -= n
        grown: dict[tuple[int, int], int] = {}
        for (used, statistic), ways in states.items():
            for k in range(max(0, marked - used - left), min(n, marked - used) + 1):
                key = (used + k, statistic + k * k * (unit // n))
                grown[key] = grown.get(key, 0) + ways * math.comb(n, k)
        states = grown
    total = sum(states.values())
    tail: dict[int, float] = {}
    passed = 0
    for statistic, ways in sorted(((s, w) for (_, s), w in states.items()), reverse=True):
        passed += ways
        tail[statistic] = passed / total
    return tail


def _drawn(answered: tuple[Arm, ...], unit: int, observed: int, draws: int, seed: int) -> float:
    sizes = [n for n, _ in answered]
    marked, total = sum(k for _, k in answered), sum(sizes)
    bits = Bits("omnibus", seed, draws, answered)
    edges = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    weights = np.array([unit // n for n in sizes], dtype=np.float64)
    reached = done = 0
    while done < draws:
        rows = min(draws - done, max(1, 4_000_000 // total))
        keys = bits.keys(rows, total)
        chosen = keys <= np.partition(keys, marked - 1, axis=1)[:, marked - 1 : marked]
        counts = np.add.reduceat(chosen, edges, axis=1, dtype=np.int64)
        reached += int(np.count_nonzero((counts**2) @ weights >= observed * (1 - TIE)))
        done += rows
    return p_value(reached, draws)


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """Two arms on one question; `p` and `interval` cannot contradict each other."""

    effect: float
    interval: tuple[float, float]
    p: float


def question_pair(a: Arm, b: Arm, alpha: float, draws: int, seed: int) -> QuestionPair:
    """Fisher's exact test, and the interval of Agresti and Caffo (2000); the larger p of both is told."""
    (ka, na), (kb, nb) = a, b
    pa, pb = (ka + 1) / (na + 2), (kb + 1) / (nb + 2)
    error = math.sqrt(pa * (1 - pa) / (na + 2) + pb * (1 - pb) / (nb + 2))
    normal = NormalDist()
    half = normal.inv_cdf(1 - alpha / 2) * error
    p_interval = 2 * normal.cdf(-abs(pb - pa) / error)
    p = max(p_interval, omnibus_p([a, b], draws, seed))
    return QuestionPair(kb / nb - ka / na, (max(-1.0, pb - pa - half), min(1.0, pb - pa + half)), p)
