"""What is known of the shipped classifier: its weights, and the errors that were measured of it.

The errors are those on models that the classifier had not seen, against the labels of a language-model judge
(docs/classifier.md). A finding that rests on the classifier carries those of its languages.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from beacon.analysis.answer import TEXT_LABELS, TextLabel

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class MeasuredErrors:
    """Of one language. `confusion[given][found]` counts answers, averaged over the splits of the evaluation."""

    language: str
    answers: int
    macro_f1: float
    calibration_error: float
    confusion: Mapping[TextLabel, Mapping[TextLabel, float]]

    def found(self, labels: Collection[TextLabel]) -> float:
        """Of the answers whose given label is among `labels`, the share whose found label is too."""
        return self._share_found(labels, labels)

    def false_alarms(self, labels: Collection[TextLabel]) -> float:
        """Of the answers whose given label is not among `labels`, the share whose found label is."""
        return self._share_found([label for label in TEXT_LABELS if label not in labels], labels)

    def _share_found(self, given: Collection[TextLabel], found: Collection[TextLabel]) -> float:
        total = sum(self.confusion[label][other] for label in given for other in TEXT_LABELS)
        return sum(self.confusion[label][other] for label in given for other in found) / total


@cache
def shipped_card() -> Mapping[str, Any]:
    """The model card as data: `model` describes the weights, `measured` what they were found to do."""
    card: dict[str, Any] = json.loads((resources.files("beacon.analysis") / "model" / CARD_FILE).read_text("utf-8"))
    return card


def shipped_version() -> str:
    """The classifier that ships with Beacon, by its name and the beginning of its weights' digest."""
    model = shipped_card()["model"]
    return f"{model['name']} {model['weights_sha256'][:12]}"


def measured_errors(language: str) -> MeasuredErrors | None:
    """The errors in a language (primary subtag), or None where none were measured: then they are not known."""
    measured = shipped_card().get("measured", {}).get("languages", {}).get(language)
    return MeasuredErrors(language=language, **measured) if measured is not None else None
