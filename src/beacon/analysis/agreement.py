"""How far labellers agree.

Two, one of which is the measure: macro-F1, accuracy and Cohen's kappa. Any number, each of some answers:
Krippendorff's alpha.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from beacon.analysis.answer import TEXT_LABELS, TextLabel

EVERYONE = "all"
"""All who labelled, whoever they are."""


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


@dataclass(frozen=True, slots=True)
class Reliability:
    """Krippendorff's alpha: 1 where all labels of an answer are always the same, 0 where they are so as often as by
    chance, below where less often; None where it is not defined. `answers` are those with two labels or more,
    `labels` all of theirs."""

    alpha: float | None
    answers: int
    labels: int

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def reliability(answers: Iterable[Sequence[str]]) -> Reliability:
    """Of the labels that each answer was given, whoever gave them; for names without an order (Krippendorff 2011).

    Answers with fewer than two labels are left out. Not defined where there is no other, or all labels are one.
    """
    used = [Counter(given) for given in answers if len(given) > 1]
    totals: Counter[str] = Counter()
    disagreed = 0.0
    for counts in used:
        size = counts.total()
        totals.update(counts)
        disagreed += (size * size - sum(count * count for count in counts.values())) / (size - 1)
    labels = totals.total()
    by_chance = labels * labels - sum(count * count for count in totals.values())
    alpha = 1 - (labels - 1) * disagreed / by_chance if by_chance else None
    return Reliability(alpha, len(used), labels)


def reliabilities(answers: Iterable[Mapping[str, str]]) -> dict[str, Reliability]:
    """Of answers as {source: label}: of all sources together, and of those of one kind (the source's name up to its
    colon), where two of them labelled the same answer."""
    given = list(answers)
    kinds = sorted({_kind(source) for labels in given for source in labels})
    found = {EVERYONE: reliability([list(labels.values()) for labels in given])}
    for kind in kinds:
        found[kind] = reliability([[label for s, label in labels.items() if _kind(s) == kind] for labels in given])
    return {name: known for name, known in found.items() if known.answers}


def _kind(source: str) -> str:
    return source.partition(":")[0]
