"""Nothing that a model, a provider or a file may say makes the classifier fail."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.analysis.answer import LABELS
from beacon.analysis.classify import AnswerText, classify_batch

HOSTILE = {
    "one letter": "x",
    "two letters": "no",
    "one megabyte of a letter": "a" * 2**20,
    "one megabyte of words": "the question is complex " * 45_000,
    "grows in lower case": "\u0130" * 70_000,
    "control characters": "\x00\x07\x1b[2J\x9b31m I can't help with that \x00",
    "lone surrogates": "\ud800 I can't help with that \udfff",
    "half an emoji": "\ud83d",
    "direction marks": "\u202eI can't help with that\u202c",
    "markup": "<script>alert(1)</script>{{ 7 * 7 }}",
    "beyond the basic plane": "\U0001f600\U0010ffff" * 50,
    "no white space": "verylongword" * 400,
    "arabic": "لا أستطيع الإجابة عن هذا السؤال",
    "devanagari": "मैं इस प्रश्न का उत्तर नहीं दे सकता",
    "japanese": "申し訳ありませんが、その質問にはお答えできません。",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("language", ["en", None, "\ud800", "x" * 1_000, ""])
def test_any_text_gets_a_label_and_a_reason_that_can_be_printed(text, language) -> None:
    [found] = classify_batch([AnswerText(prompt=text, answer=text, finish_reason="stop", language=language)])
    assert found.label in LABELS
    assert math.isfinite(found.score)
    assert 0 < found.score <= 1
    assert found.reason.isprintable()
    assert len(found.reason) < 400


def test_a_finish_reason_may_say_anything() -> None:
    [found] = classify_batch([AnswerText(prompt="", answer="", finish_reason="\ud800\n" + "x" * 10_000)])
    assert found.label == "empty"
    assert found.reason.isprintable()
    assert len(found.reason) < 400


@given(st.text(st.characters(exclude_categories=())), st.none() | st.text(max_size=8), st.none() | st.text(max_size=12))
def test_whatever_the_text_the_probabilities_are_probabilities(text, language, finish) -> None:
    [found] = classify_batch([AnswerText(prompt="", answer=text, finish_reason=finish, language=language)])
    assert sum(found.probabilities.values()) == pytest.approx(1.0)
    assert found.score == found.probabilities[found.label]
    assert found.score > 1 / 4, "the likelier of two that are together likelier than the third"
    assert found.reason.isprintable()
