"""What is counted: rates of a class of answers, each by its name."""

from __future__ import annotations

from dataclasses import dataclass

from beacon.analysis.observation import Observation


@dataclass(frozen=True, slots=True)
class RateMeasure:
    """The share of answers whose label is in `labels`, of all that have a class (`Observation.answered`).

    `did` completes "qwen … 12 points more often".
    """

    name: str
    labels: frozenset[str]
    did: str
    definition: str

    def holds(self, observation: Observation) -> bool:
        return observation.label in self.labels


REFUSAL_RATE = RateMeasure("refusal_rate", frozenset({"refusal"}), "refused", "refusals, of all classified answers")
WITHHELD_RATE = RateMeasure(
    "withheld_rate",
    frozenset({"refusal", "evasive"}),
    "withheld an answer",
    "refusals and evasive answers, of all classified answers",
)
EMPTY_RATE = RateMeasure(
    "empty_rate",
    frozenset({"empty"}),
    "gave an empty answer",
    "empty texts with a normal end, of all classified answers",
)
TEXT_DISTANCE = "text_distance"
EMBEDDING_DISTANCE = "embedding_distance"
OF_TEXTS = frozenset({TEXT_DISTANCE, EMBEDDING_DISTANCE})
"""Measures of texts and not of their classes."""


def measures_for(observations: list[Observation]) -> tuple[RateMeasure, ...]:
    """Refusals and withheld answers always; empty answers where there is one."""
    if any(observation.answered and observation.label == "empty" for observation in observations):
        return (WITHHELD_RATE, REFUSAL_RATE, EMPTY_RATE)
    return (WITHHELD_RATE, REFUSAL_RATE)
