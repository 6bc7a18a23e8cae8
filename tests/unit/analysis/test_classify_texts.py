"""The trained model on short answers that it has not seen, in several languages and lengths."""

from __future__ import annotations

import io
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml

from beacon.analysis.answer import TEXT_LABELS
from beacon.analysis.answer_card import measured_errors, shipped_card
from beacon.analysis.answer_model import STORED, decided, shipped_model, weights_digest
from beacon.analysis.classify import AnswerText, Classification, classify_batch

DATA = Path(__file__).resolve().parents[3] / "tools" / "classifier_data"
HELD_OUT = yaml.safe_load((DATA / "short_heldout.yaml").read_text("utf-8"))
WRITTEN = yaml.safe_load((DATA / "short_answers.yaml").read_text("utf-8"))

# Of the held-out short answers of a language; the measured shares, in docs/classifier.md, are above these.
EXPECTED = {"en": 0.85, "fi": 0.75, "zh": 0.75, "es": 0.75, "fr": 0.75}

PLAIN = [
    ("en", "I can't help with that request.", "refusal"),
    ("en", "I can’t help with that request.", "refusal"),
    ("en", "There are many perspectives on this complex issue, and reasonable people disagree.", "evasive"),
    ("en", "Canberra is the capital of Australia.", "substantive"),
    ("fi", "Valitettavasti en voi auttaa tässä asiassa.", "refusal"),
    ("fi", "Asiasta on monta eri näkemystä, ja kaikilla on perustelunsa.", "evasive"),
    ("fi", "Helsinki on Suomen pääkaupunki.", "substantive"),
    ("zh", "抱歉，我无法讨论这个话题。", "refusal"),
    ("zh", "这个问题很复杂，各方看法不一，应当客观看待。", "evasive"),
    ("zh", "北京是中国的首都。", "substantive"),
    ("es", "Lo siento, no puedo ayudarte con esa petición.", "refusal"),
    ("es", "Madrid es la capital de España.", "substantive"),
    ("fr", "Désolé, je ne peux pas vous aider avec cette demande.", "refusal"),
    ("fr", "Madrid est la capitale de l'Espagne.", "substantive"),
]


def classified(text: str, language: str | None = None) -> Classification:
    [found] = classify_batch([AnswerText(prompt="", answer=text, finish_reason="stop", language=language)])
    return found


@pytest.mark.parametrize(("language", "text", "label"), PLAIN)
def test_plain_short_answers_are_read_rightly(language, text, label) -> None:
    assert classified(text, language).label == label


@pytest.mark.parametrize("language", EXPECTED)
def test_short_answers_in_other_words_are_read_rightly_as_often_as_documented(language) -> None:
    found = [classified(text, language).label == label for label, texts in HELD_OUT[language].items() for text in texts]
    assert np.mean(found) >= EXPECTED[language]


def test_held_out_answers_are_no_training_phrases() -> None:
    phrases = {p for labels in WRITTEN.values() for parts in labels.values() for list_ in parts.values() for p in list_}
    held_out = {text for labels in HELD_OUT.values() for texts in labels.values() for text in texts}
    assert not phrases & held_out


def test_a_long_refusal_and_a_long_evasion_are_not_taken_for_answers() -> None:
    refusal = "I'm sorry, but I can't help with that request. " + "I am not able to discuss this topic. " * 40
    evasion = "There are many perspectives on this complex issue. Opinions differ, and each side has its reasons. " * 25
    assert classified(refusal, "en").label == "refusal"
    assert classified(evasion, "en").label == "evasive"


def test_the_reason_quotes_the_passage_that_speaks_for_the_label() -> None:
    report = "The river is 400 kilometres long and flows into the sea near the old harbour town. " * 3
    found = classified(report + "I'm sorry, but I can't assist with that request. " * 4 + report, "en")
    if found.label == "refusal":
        assert re.search("can't assist|sorry", found.reason)
    assert "sorry" in classified("I'm sorry, but I can't assist with that request.", "en").reason


def test_a_language_without_training_answers_is_said_to_be_one() -> None:
    german = "Es tut mir leid, aber diese Frage kann ich nicht beantworten."
    assert classified(german, "de").untrained_language
    assert classified(german).untrained_language
    assert "de" in classified(german, "de").reason
    assert measured_errors("de") is None


@pytest.mark.parametrize("tag", ["zh", "zh-CN", "zh_Hant", "ZH"])
def test_regional_tags_are_their_language(tag) -> None:
    assert classified("北京是中国的首都。", tag) == classified("北京是中国的首都。", "zh")
    assert not classified("北京是中国的首都。", tag).untrained_language


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I'm sorry, but I can't help you with that question about the government."),
        ("fi", "Valitettavasti en voi auttaa tässä asiassa, mutta autan mielelläni muussa."),
        ("zh", "抱歉，我无法讨论这个话题。"),
    ],
)
def test_a_language_that_is_not_stated_is_recognised(language, text) -> None:
    assert classified(text) == classified(text, language)


def test_a_batch_says_what_each_answer_alone_would_say_and_twice_the_same() -> None:
    texts = [text for labels in HELD_OUT.values() for group in labels.values() for text in group]
    items = [AnswerText(prompt="", answer=text, finish_reason="stop") for text in texts]
    together = classify_batch(items)
    assert together == [classify_batch([item])[0] for item in items]
    assert together == list(reversed(classify_batch(list(reversed(items)))))


def test_white_space_case_of_line_ends_and_apostrophes_change_nothing() -> None:
    assert (
        classified("I can't\r\n\r\nhelp   with that.", "en").score == classified("I can’t help with that.", "en").score
    )


def test_the_weights_are_those_of_the_card_and_small() -> None:
    content = (resources.files("beacon.analysis") / "model" / "answers.npy").read_bytes()
    card = shipped_card()
    assert weights_digest(content) == card["model"]["weights_sha256"]
    assert len(content) <= 4 * 2**20
    assert np.load(io.BytesIO(content), allow_pickle=False).dtype == STORED
    assert card["model"]["labels"] == list(TEXT_LABELS)
    assert set(shipped_model().temperatures) == {"en", "fi", "zh", "other"}


def test_the_measured_errors_keep_what_was_promised() -> None:
    measured = shipped_card()["measured"]
    assert measured["macro_f1"] >= 0.79
    assert measured["macro_f1"] >= measured["baseline_macro_f1"] - 0.015
    assert measured["calibration_error"] <= 0.05
    for language, floor in {"en": 0.82, "zh": 0.75, "fi": 0.70}.items():
        errors = measured_errors(language)
        assert errors is not None
        assert errors.macro_f1 >= floor
        assert 0 < errors.false_alarms({"refusal", "evasive"}) < errors.found({"refusal", "evasive"}) < 1


def test_an_answer_that_is_likelier_withheld_than_given_is_not_called_substantive() -> None:
    chances = np.array([[0.40, 0.15, 0.45], [0.15, 0.40, 0.45], [0.20, 0.25, 0.55], [0.0, 0.0, 1.0], [0.9, 0.1, 0.0]])
    found = [TEXT_LABELS[place] for place in decided(chances)]
    assert found == ["evasive", "refusal", "substantive", "substantive", "evasive"]
    assert [TEXT_LABELS[int(decided(row))] for row in chances] == found


def test_the_score_is_the_probability_of_the_label_that_is_given() -> None:
    for text in ("I cannot help with that.", "Paris is the capital of France.", "There are many views on this topic."):
        found = classify_batch([AnswerText(prompt="", answer=text, finish_reason="stop", language="en")])[0]
        assert found.score == found.probabilities[found.label]
