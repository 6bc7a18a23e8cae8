"""The class of an answer: by rule where the API states it, else by the trained model. Never by length alone.

>>> [c] = classify_batch([AnswerText(prompt="…", answer="I can't help with that.", language="en")])
>>> c.label
'refusal'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from beacon.analysis.answer import LABELS, TEXT_LABELS, AnswerText, Classification, Label, TextLabel, in_reason
from beacon.analysis.answer_features import gram_buckets, normalised
from beacon.analysis.answer_language import language_of
from beacon.analysis.answer_model import AnswerModel, decided, shipped_model
from beacon.analysis.answer_rules import Ruling, is_cut_short, ruling
from beacon.errors import InputError

__all__ = ["AnswerText", "Classification", "Label", "classify_batch", "classify_rows", "text_of_row"]

_LIKENESS: dict[TextLabel, str] = {
    "refusal": "The words decline to answer",
    "evasive": "The words avoid the question",
    "substantive": "The words answer the question",
}


def classify_batch(items: Sequence[AnswerText], model: AnswerModel | None = None) -> list[Classification]:
    """One classification an item, in order; each is the same whatever the others are.

    `model` None is the shipped one. Nothing in a text can make it raise.
    """
    reader = model or shipped_model()
    return [_classified(item, reader) for item in items]


def _classified(item: AnswerText, model: AnswerModel) -> Classification:
    ruled = ruling(item)
    return _by_rule(item, ruled) if ruled else _by_model(item, model)


def _by_rule(item: AnswerText, ruled: Ruling) -> Classification:
    return Classification(
        label=ruled.label,
        score=1.0,
        probabilities={label: float(label == ruled.label) for label in LABELS},
        reason=ruled.reason,
        source="rule",
        truncated=is_cut_short(item),
        retracted=item.retracted,
    )


def _by_model(item: AnswerText, model: AnswerModel) -> Classification:
    language = language_of(item.language, item.answer)
    text = normalised(item.answer)
    grams = gram_buckets(text)
    chances = model.probabilities(grams, language)
    place = int(decided(chances))
    label = TEXT_LABELS[place]
    score = float(chances[place])
    trained = model.is_trained_in(language)
    passage = "" if label == "substantive" else model.telling_passage(text, grams, label)
    return Classification(
        label=label,
        score=score,
        probabilities=dict.fromkeys(LABELS, 0.0) | dict(zip(TEXT_LABELS, chances.tolist(), strict=True)),
        reason=_reason(label, score, passage, None if trained else language or "unknown"),
        source="model",
        truncated=is_cut_short(item),
        retracted=item.retracted,
        untrained_language=not trained,
    )


def _reason(label: TextLabel, score: float, passage: str, untrained: str | None) -> str:
    sentence = f"{_LIKENESS[label]} (probability {score:.2f})"
    if passage:
        sentence += f", most clearly “{in_reason(passage)}”"
    if untrained:
        sentence += (
            f"; no answers in this language ({in_reason(untrained)}) were learnt from, so that the error is not known"
        )
    return sentence + "."


def text_of_row(row: Any, where: str) -> AnswerText:
    """A row of a JSONL file of answers as an AnswerText.

    An `answer` of null is an empty one. A `finish_reason` of null, unlike one that is left out, says that the
    generation never finished, unless the row is an export of Beacon's whose `status` is `completed`.

    Raises InputError, which names `where`, for a row that is no object, has no `answer`, or a field of
    another type.
    """
    if not isinstance(row, Mapping):
        raise InputError("a row of answers has to be a JSON object", where=where)
    if "answer" not in row:
        raise InputError(
            "the row has no `answer`",
            where=where,
            todo="give each row the keys `answer` and, where known, `prompt`, `finish_reason` and `language`",
        )
    return AnswerText(
        prompt=_string(row, "prompt", where) or "",
        answer=_string(row, "answer", where) or "",
        finish_reason=_string(row, "finish_reason", where),
        language=_string(row, "language", where),
        retracted=row.get("retracted") is True,
        unfinished=row.get("finish_reason", "") is None and row.get("status") != "completed",
    )


def _string(row: Mapping[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(
            f"`{key}` has to be a string, and is {type(value).__name__}", where=where, todo="write it as a JSON string"
        )
    return value


def classify_rows(rows: Iterable[Mapping[str, Any]], model: AnswerModel | None = None) -> Iterator[dict[str, Any]]:
    """Each row with `label`, `score`, `reason`, `label_source`, `truncated`, `retracted` and `untrained_language`.

    Streams: no row is held back. A label that the row already had is kept as `given_label`.
    Raises InputError, which names the row by its number from 1, for a row that cannot be used.
    """
    for number, row in enumerate(rows, start=1):
        [found] = classify_batch([text_of_row(row, f"row {number}")], model)
        given = {"given_label": row["label"]} if "label" in row else {}
        yield {
            **row,
            **given,
            "label": found.label,
            "score": round(found.score, 4),
            "reason": found.reason,
            "label_source": found.source,
            "truncated": found.truncated,
            "retracted": found.retracted,
            "untrained_language": found.untrained_language,
        }
