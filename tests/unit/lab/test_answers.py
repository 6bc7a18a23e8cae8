"""Simulated answers: classes at their rates, texts of many forms, facts of the question."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from beacon.lab.answers import LANGUAGES, draw_answer, draw_outcome, phrases
from beacon.lab.behaviour import behaviour
from beacon.lab.draw import Draws
from beacon.lab.knowledge import Asked, QuestionBook
from beacon.lab.world import Answers, read_world

DRAWN = 4000


def acts(narrative="common", **rates):
    plain = behaviour(read_world("instant"), "us", "mistral-7b", None)
    return replace(plain, narrative=narrative, answers=Answers(**rates))


def asked(question, language="en"):
    return Asked(question.texts.get(language, question.texts["en"]), language, question)


def within(count: int, rate: float) -> bool:
    """Four and a half standard deviations, as the draws are fixed for ever."""
    return abs(count - DRAWN * rate) <= 4.5 * math.sqrt(DRAWN * rate * (1 - rate)) + 1


def test_classes_come_at_their_rates():
    rates = {"refusal": 0.3, "evasive": 0.2, "empty": 0.1, "length": 0.05, "content_filter": 0.04, "retracted": 0.01}
    counts = Counter(draw_outcome(Answers(**rates), Draws("rates", n)) for n in range(DRAWN))

    for outcome, rate in {**rates, "substantive": 0.3}.items():
        assert within(counts[outcome], rate), (outcome, counts)


def test_the_default_world_withholds_at_its_scripted_rates_in_every_cell(question_of):
    world = read_world("default")
    questions = [question_of(number) for number in range(12)]
    for region in ("us", "eu", "apac"):
        for model in world.models:
            scripted = [behaviour(world, region, model, question).answers for question in questions]
            drawn = Counter(draw_outcome(scripted[n % 12], Draws(region, model, n % 12, n)) for n in range(DRAWN))
            for outcome in ("refusal", "evasive"):
                expected = sum(getattr(rates, outcome) for rates in scripted) / 12
                assert within(drawn[outcome], expected), (region, model, outcome)


@pytest.mark.parametrize(
    ("outcome", "finish", "is_empty"),
    [
        ("refusal", "stop", False),
        ("evasive", "stop", False),
        ("empty", "stop", True),
        ("length", "length", False),
        ("content_filter", "content_filter", True),
        ("retracted", "content_filter", False),
    ],
)
def test_every_class_has_its_finish_reason(question_of, outcome, finish, is_empty):
    answer = draw_answer(acts(**{outcome: 1.0}), asked(question_of(1)), Draws(1))

    assert (answer.outcome, answer.finish_reason, answer.text == "") == (outcome, finish, is_empty)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", ["substantive", "refusal", "evasive"])
def test_repeats_differ_and_have_the_length_of_an_answer(question_of, language, outcome):
    rates = {} if outcome == "substantive" else {outcome: 1.0}
    answers = [draw_answer(acts(**rates), asked(question_of(1), language), Draws(n)) for n in range(100)]

    assert len({answer.text for answer in answers}) > 50
    assert all("{" not in answer.text for answer in answers)
    if outcome == "substantive":
        assert all(60 <= len(answer.tokens) <= 200 for answer in answers)


def test_a_substantive_answer_tells_facts_of_its_question(question_of):
    question = question_of(3)
    for n in range(50):
        text = draw_answer(acts(), asked(question), Draws(n)).text
        assert "Matter 3 has property alpha" in text
        assert text.count("Matter 3 has property") >= 2
        assert ".." not in text
        assert re.findall(r"^(\d)\. \*\*", text, re.MULTILINE)[:2] == ["1", "2"]


def test_a_fact_is_told_with_where_it_can_be_read(question_of):
    question = question_of(3, facts=[{"statement": "It is so.", "source": "The Book of Matters, ed."}])
    texts = {draw_answer(acts(), asked(question), Draws(n)).text for n in range(20)}

    assert all("It is so." in text and "The Book of Matters, ed" in text for text in texts)
    assert all(".." not in text for text in texts)


def test_the_other_narrative_tells_the_later_facts_only(question_of):
    text = "".join(draw_answer(acts("other"), asked(question_of(3)), Draws(n)).text for n in range(50))

    assert "property gamma" in text
    assert "property delta" in text
    assert "property alpha" not in text
    assert "property beta" not in text


def test_chinese_answers_are_chinese_and_tell_the_facts_by_their_terms(question_of):
    text = draw_answer(acts(), asked(question_of(3), "zh"), Draws(1)).text

    assert "性质alpha" in text
    assert "Matter" not in text


def test_a_language_without_sentences_falls_back_to_english(question_of):
    assert phrases("fi") == phrases("en")
    assert draw_answer(acts(), asked(question_of(3), "fi"), Draws(1)).text.isascii()


def test_an_unknown_question_gets_a_substantive_answer():
    answers = {draw_answer(acts(), Asked("Why?", "en", None), Draws(n)).text for n in range(50)}

    assert len(answers) > 40
    assert all(len(text.split()) >= 60 for text in answers)


def test_an_answer_is_cut_to_what_the_request_allows(question_of):
    answer = draw_answer(acts(), asked(question_of(3)), Draws(1))
    cut = answer.at_most(10)

    assert (len(cut.tokens), cut.finish_reason) == (10, "length")
    assert answer.text.startswith(cut.text)
    assert answer.at_most(1000) is answer


def test_no_sentence_stands_twice_in_a_slot():
    for language in LANGUAGES:
        book = phrases(language)
        slots = [*book.refusal, *book.evasive]
        for told in book.narratives.values():
            slots += [told.openings, told.labels, told.sources, told.contexts, told.closings, told.generic]
        for slot in slots:
            assert len(set(slot)) == len(slot)


def test_questions_are_known_by_their_text_in_any_language_whatever_the_spacing(question_of):
    book = QuestionBook([question_of(1), question_of(2)])

    assert book.look_up("  what ABOUT matter\n2? ") == Asked("  what ABOUT matter\n2? ", "en", question_of(2))
    assert book.look_up("第1件事如何？").language == "zh"
    assert book.look_up("Something else?") == Asked("Something else?", "en", None)
    assert book.look_up("别的事情呢？").language == "zh"
