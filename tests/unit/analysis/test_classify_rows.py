"""Rows of a JSONL file, labelled as they stream by."""

from __future__ import annotations

import itertools

import pytest

from beacon.analysis.classify import classify_rows
from beacon.errors import InputError

REFUSAL = "I'm sorry, but I can't help with that."


def test_a_row_keeps_what_it_has_and_gets_label_score_and_reason() -> None:
    row = {"id": 7, "prompt": "Who?", "answer": REFUSAL, "finish_reason": "stop", "language": "en", "extra": [1]}
    [labelled] = classify_rows([row])
    assert labelled.items() >= row.items()
    assert labelled["label"] == "refusal"
    assert labelled["label_source"] == "model"
    assert 0.5 < labelled["score"] <= 1
    assert "decline" in labelled["reason"]


def test_a_label_that_a_row_had_is_kept_beside_the_new_one() -> None:
    [labelled] = classify_rows([{"answer": REFUSAL, "label": "evasive"}])
    assert (labelled["given_label"], labelled["label"]) == ("evasive", "refusal")


def test_only_the_answer_is_needed_and_null_is_an_answer_without_text() -> None:
    assert next(classify_rows([{"answer": REFUSAL}]))["label"] == "refusal"
    assert next(classify_rows([{"answer": None}]))["label"] == "failure"
    assert next(classify_rows([{"answer": None, "finish_reason": "stop"}]))["label"] == "empty"


def test_a_finish_reason_of_null_says_that_the_answer_never_finished_one_left_out_does_not() -> None:
    assert next(classify_rows([{"answer": REFUSAL, "finish_reason": None}]))["label"] == "failure"
    assert next(classify_rows([{"answer": REFUSAL}]))["label"] == "refusal"


def test_an_exported_row_that_completed_is_read_though_its_provider_gave_no_finish_reason() -> None:
    row = {"answer": REFUSAL, "finish_reason": None, "status": "completed"}
    assert next(classify_rows([row]))["label"] == "refusal"


def test_rows_stream_without_an_end() -> None:
    endless = itertools.repeat({"answer": REFUSAL})
    assert [row["label"] for row in itertools.islice(classify_rows(endless), 3)] == ["refusal"] * 3


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text": "hello"}, "has no `answer`"),
        ({"answer": 7}, "`answer` has to be a string, and is int"),
        ({"answer": "x", "language": ["en"]}, "`language` has to be a string"),
        ({"answer": "x", "finish_reason": {}}, "`finish_reason` has to be a string"),
        (["x"], "JSON object"),
        ("x", "JSON object"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_number(row, what) -> None:
    rows = classify_rows([{"answer": REFUSAL}, row])
    assert next(rows)["label"] == "refusal"
    with pytest.raises(InputError) as refused:
        next(rows)
    assert what in refused.value.what
    assert refused.value.where == "row 2"
