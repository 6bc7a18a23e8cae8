"""An answer to be classified, and what the classifier says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Label = Literal["failure", "empty", "refusal", "evasive", "substantive"]
TextLabel = Literal["evasive", "refusal", "substantive"]

LABELS: tuple[Label, ...] = ("failure", "empty", "refusal", "evasive", "substantive")
TEXT_LABELS: tuple[TextLabel, ...] = ("evasive", "refusal", "substantive")
"""What only the words can tell, in the order of the trained model's columns. The other labels are rules."""


@dataclass(frozen=True, slots=True)
class AnswerText:
    """What is known of an answer when it is classified.

    `language` is that of the question, a BCP 47 tag, or None where it is not known. `finish_reason` None is
    unknown; `unfinished` says that the record itself tells that the generation never finished. The prompt is
    no input of the trained model: measured, it adds nothing; it is here for a judge that reads both.
    """

    prompt: str
    answer: str
    finish_reason: str | None = None
    language: str | None = None
    retracted: bool = False
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Classification:
    """A label, how sure it is, and why.

    `score` is the calibrated probability of `label`: of answers scored 0.8, about 8 in 10 have that label by
    the judge whose labels the model learnt (docs/classifier.md). A label by rule has score 1, since the API
    itself states it. `probabilities` holds every label; `untrained_language` tells that no whole answers of
    this language were in the training data, so that no measured error stands behind the score.
    """

    label: Label
    score: float
    probabilities: dict[Label, float]
    reason: str
    source: Literal["rule", "model"]
    truncated: bool = False
    retracted: bool = False
    untrained_language: bool = False


def in_reason(text: str) -> str:
    """A stranger's text as a reason may quote it: what can be printed of it, at most 100 characters."""
    return "".join(character for character in text[:100] if character.isprintable())
