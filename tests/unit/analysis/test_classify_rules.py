"""What the API itself states is never left to the words (invariant empty-is-an-answer)."""

from __future__ import annotations

import pytest

from beacon.analysis.answer import LABELS
from beacon.analysis.classify import AnswerText, Classification, classify_batch

FACTS = "The wall fell on 9 November 1989, and the two states were united eleven months later."


def classified(answer: str, **known: object) -> Classification:
    [found] = classify_batch([AnswerText(prompt="When did the wall fall?", answer=answer, language="en", **known)])
    return found


@pytest.mark.parametrize("finish", ["content_filter", "CONTENT_FILTER", "safety", "refusal", "PROHIBITED_CONTENT"])
@pytest.mark.parametrize("text", ["", FACTS])
def test_an_answer_that_the_provider_blocked_is_a_refusal_whatever_it_says(finish, text) -> None:
    found = classified(text, finish_reason=finish)
    assert (found.label, found.source, found.score) == ("refusal", "rule", 1.0)
    assert finish.lower() in found.reason


@pytest.mark.parametrize("blank", ["", " \n\t", "\u200b\u200d\ufeff", "\x00\x1b\u202e "])
def test_an_answer_that_shows_nothing_and_finished_normally_is_empty(blank) -> None:
    assert classified(blank, finish_reason="stop").label == "empty"


def test_an_answer_without_text_and_without_finish_reason_is_a_failure() -> None:
    assert classified("").label == "failure"


def test_an_answer_that_only_shows_a_little_is_not_empty() -> None:
    assert classified("\u200b 7", finish_reason="stop").source == "model"


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_an_answer_cut_at_the_token_limit_is_flagged_and_read_all_the_same(finish) -> None:
    found = classified(FACTS, finish_reason=finish)
    assert (found.label, found.truncated, found.source) == ("substantive", True, "model")
    nothing = classified("", finish_reason=finish)
    assert (nothing.label, nothing.truncated) == ("empty", True)


def test_withdrawn_text_is_flagged_and_kept() -> None:
    assert classified(FACTS, finish_reason="content_filter", retracted=True).retracted
    still_read = classified(FACTS, finish_reason="stop", retracted=True)
    assert (still_read.label, still_read.retracted) == ("substantive", True)


def test_a_provider_that_broke_off_is_a_failure() -> None:
    assert classified(FACTS, finish_reason="error").label == "failure"


def test_text_of_an_answer_that_never_finished_is_a_failure_only_where_the_record_says_so() -> None:
    assert classified(FACTS, unfinished=True).label == "failure"
    assert classified(FACTS).label == "substantive"


def test_a_block_code_handed_on_as_text_is_a_refusal_unless_the_answer_finished_normally() -> None:
    assert classified("SAFETY").label == "refusal"
    assert classified("SAFETY", finish_reason="stop").source == "model"


def test_every_classification_has_a_probability_for_every_label_and_a_sentence() -> None:
    for found in (classified(FACTS, finish_reason="stop"), classified("", finish_reason="stop")):
        assert set(found.probabilities) == set(LABELS)
        assert sum(found.probabilities.values()) == pytest.approx(1.0)
        assert found.score == found.probabilities[found.label] == max(found.probabilities.values())
        assert found.reason.endswith(".")
