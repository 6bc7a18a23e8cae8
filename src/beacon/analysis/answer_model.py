"""The trained classifier of texts: hashed n-grams, multinomial logistic regression, calibrated per language.

The weights and what was measured of them are package data (`model/`), written by `tools/train_classifier.py`
and `benchmarks/classifier.py`; docs/classifier.md is the model card.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from beacon.analysis.answer import TEXT_LABELS, TextLabel
from beacon.analysis.answer_card import shipped_card
from beacon.analysis.answer_features import BUCKETS, count_grams

WEIGHTS_FILE = "answers.npy"
OTHER_LANGUAGES = "other"
"""The key of the calibration for languages that have none of their own."""

PASSAGE = 80
"""Characters of the passage that is shown as the ground for a label."""

_IDF = len(TEXT_LABELS)
_ANSWERED = TEXT_LABELS.index("substantive")
_WITHHELD = np.array([place for place in range(len(TEXT_LABELS)) if place != _ANSWERED])


@dataclass(frozen=True, eq=False)
class AnswerModel:
    """`buckets` are those that the model knows, ascending. `table` has a row for each and a last one of zeros for all
    others: a column of weights per label of TEXT_LABELS, then the inverse document frequency.

    `intercept` has an entry per label; `temperatures` one per trained language and one for all others.
    """

    buckets: NDArray[np.uint32]
    table: NDArray[np.float32]
    intercept: NDArray[np.float64]
    temperatures: Mapping[str, float]

    @cached_property
    def places(self) -> NDArray[np.int32]:
        """The row of `table` for every bucket."""
        places = np.full(BUCKETS, self.buckets.size, dtype=np.int32)
        places[self.buckets] = np.arange(self.buckets.size, dtype=np.int32)
        return places

    @cached_property
    def contrasts(self) -> dict[TextLabel, NDArray[np.float32]]:
        """For each label, what an n-gram of each row adds to it beyond the mean of the labels."""
        beyond = (self.table[:, :_IDF] - self.table[:, :_IDF].mean(axis=1, keepdims=True)) * self.table[:, _IDF:]
        return {label: beyond[:, column].copy() for column, label in enumerate(TEXT_LABELS)}

    def is_trained_in(self, language: str | None) -> bool:
        return language in self.temperatures and language != OTHER_LANGUAGES

    def logits(self, grams: list[NDArray[np.uint32]]) -> NDArray[np.float64]:
        """Uncalibrated scores, one per label: the unit-length TF-IDF vector times the weights."""
        buckets, damped = count_grams(grams)
        rows = self.table.take(self.places.take(buckets), axis=0)
        vector = damped * rows[:, _IDF]
        # Not a matrix product: its order of summation depends on the machine's linear algebra library.
        products = np.einsum("i,ij->j", vector, rows)[:_IDF].astype(np.float64)
        length = float(np.sqrt(np.einsum("i,i->", vector, vector)))
        scores: NDArray[np.float64] = products / max(length, 1e-12) + self.intercept
        return scores

    def probabilities(self, grams: list[NDArray[np.uint32]], language: str | None) -> NDArray[np.float64]:
        """Calibrated probabilities, one per label of TEXT_LABELS."""
        key = language if language is not None and self.is_trained_in(language) else OTHER_LANGUAGES
        return softmax(self.logits(grams) / self.temperatures[key])

    def telling_passage(self, text: str, grams: list[NDArray[np.uint32]], label: TextLabel) -> str:
        """The passage of a normalised text, at word boundaries, that speaks most for `label`."""
        if len(text) <= PASSAGE:
            return text.strip()
        contrast = self.contrasts[label]
        weight = np.zeros(len(text))
        for buckets in grams:
            weight[: buckets.size] += contrast.take(self.places.take(buckets))
        sums = np.concatenate(([0.0], np.cumsum(weight)))
        begin = int(np.argmax(sums[PASSAGE:] - sums[:-PASSAGE]))
        return whole_words(text, begin, begin + PASSAGE)


def whole_words(text: str, begin: int, end: int) -> str:
    """`text[begin:end]` without the parts of words at its ends, unless nothing would be left."""
    left = text.find(" ", begin, end) if begin else 0
    right = text.rfind(" ", begin, end) if end < len(text) else end
    return (text[left:right] if 0 <= left < right else text[begin:end]).strip()


def decided(chances: NDArray[np.float64]) -> NDArray[np.intp]:
    """The place of the label in TEXT_LABELS, over the last axis of calibrated probabilities.

    Whether the question was answered comes first: an answer is substantive unless refusal and evasion together are
    likelier, and then the likelier of these two.
    """
    withheld = chances[..., _WITHHELD]
    likelier = _WITHHELD[withheld.argmax(axis=-1)]
    found: NDArray[np.intp] = np.where(withheld.sum(axis=-1) > chances[..., _ANSWERED], likelier, _ANSWERED)
    return found


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis."""
    powers: NDArray[np.float64] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


@cache
def shipped_model() -> AnswerModel:
    """The model that comes with Beacon; read once a process, in a few milliseconds."""
    content = (resources.files("beacon.analysis") / "model" / WEIGHTS_FILE).read_bytes()
    buckets, table = unpacked(np.load(io.BytesIO(content), allow_pickle=False))
    model = shipped_card()["model"]
    return AnswerModel(
        buckets=buckets,
        table=table,
        intercept=np.array(model["intercept"], dtype=np.float64),
        temperatures=model["temperatures"],
    )


def weights_digest(content: bytes) -> str:
    """The SHA-256 by which a report names the weights that its labels rest on."""
    return hashlib.sha256(content).hexdigest()


STORED = np.dtype([("step", "<u2"), ("weights", "<f2", (_IDF + 1,))])
"""How a row is stored: the distance to its bucket from the one before (from -1 for the first), and its columns."""


def packed(model: AnswerModel) -> NDArray[np.void]:
    """The weights as they are stored. Raises ValueError where two buckets are too far apart."""
    steps = np.diff(model.buckets.astype(np.int64), prepend=-1)
    if steps.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("buckets lie too far apart to be stored as steps")
    stored = np.empty(model.buckets.size, dtype=STORED)
    stored["step"] = steps
    stored["weights"] = model.table[:-1]
    return stored


def unpacked(stored: NDArray[np.void]) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """`buckets` and `table` of the model that was stored."""
    buckets = (np.cumsum(stored["step"], dtype=np.int64) - 1).astype(np.uint32)
    table = np.zeros((stored.size + 1, _IDF + 1), dtype=np.float32)
    table[:-1] = stored["weights"]
    return buckets, table
