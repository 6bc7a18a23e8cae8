"""Many comparisons at once: false-discovery control within a family, and the call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Call = Literal["difference", "negligible", "undecided"]


def q_values(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg (1995): the smallest false-discovery rate at which each test is rejected."""
    size = len(p_values)
    ranked = sorted(range(size), key=lambda index: p_values[index])
    q = [1.0] * size
    smallest = 1.0
    for rank in range(size, 0, -1):
        index = ranked[rank - 1]
        smallest = min(smallest, p_values[index] * size / rank)
        q[index] = smallest
    return q


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false rejection."""
    size = len(p_values)
    adjusted = [1.0] * size
    largest = 0.0
    for rank, index in enumerate(sorted(range(size), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[index] * (size - rank)))
        adjusted[index] = largest
    return adjusted


def call_of(q: float, interval: tuple[float, float], *, alpha: float, smallest_effect: float) -> Call:
    """`negligible` where the whole interval lies within the smallest effect (two one-sided tests; Schuirmann
    1987), whatever q; else `difference` where q <= alpha; else `undecided`."""
    low, high = interval
    if -smallest_effect <= low and high <= smallest_effect:
        return "negligible"
    return "difference" if q <= alpha else "undecided"
