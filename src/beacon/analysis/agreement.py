"""How far two labellers agree: macro-F1, accuracy and Cohen's kappa, over all answers and by language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.answer import TEXT_LABELS, TextLabel


@dataclass(frozen=True, slots=True)
class Agreement:
    """`macro_f1` is the mean over the classes that were given; `kappa` Cohen's (1960), None where chance alone would
    agree always. Both are None without answers. `confusion` counts (given, found)."""

    answers: int
    accuracy: float | None
    macro_f1: float | None
    kappa: float | None
    f1: Mapping[TextLabel, float]
    confusion: Mapping[TextLabel, Mapping[TextLabel, int]]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def agreement(pairs: Iterable[tuple[str, str]]) -> Agreement:
    """Of (given, found) labels, each one of TEXT_LABELS."""
    counts = Counter(pairs)
    n = counts.total()
    given = {label: sum(counts[label, other] for other in TEXT_LABELS) for label in TEXT_LABELS}
    found = {label: sum(counts[other, label] for other in TEXT_LABELS) for label in TEXT_LABELS}
    f1 = {label: 2 * counts[label, label] / (given[label] + found[label]) for label in TEXT_LABELS if given[label]}
    confusion = {label: {other: counts[label, other] for other in TEXT_LABELS} for label in TEXT_LABELS}
    if not n:
        return Agreement(0, None, None, None, {}, confusion)
    observed = sum(counts[label, label] for label in TEXT_LABELS) / n
    expected = sum(given[label] * found[label] for label in TEXT_LABELS) / n**2
    kappa = None if expected == 1 else (observed - expected) / (1 - expected)
    return Agreement(n, observed, sum(f1.values()) / len(f1), kappa, f1, confusion)
