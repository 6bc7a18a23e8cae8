"""Rules resolved for one region, model and question."""

from __future__ import annotations

import math

import pytest

from beacon.lab.behaviour import behaviour, question_deviation
from beacon.lab.world import Answers, parse_world, read_world

WORLD = """
schema: beacon.world/v1
name: test
rules:
  - latency: 100ms
    limit: {concurrency: 4}
    answers: {refusal: 0.1}
  - when: {regions: [eu]}
    latency: 300ms
  - when: {regions: [eu], models: [mistral-7b]}
    limit: null
  - when: {categories: [sovereignty], about: [china, us]}
    answers: {evasive: 0.5}
  - when: {controls: true}
    answers: {}
"""


@pytest.fixture
def world():
    return parse_world(WORLD, "test")


def test_the_last_rule_that_gives_a_field_decides_it(world):
    assert behaviour(world, "us", "mistral-7b", None).latency.constant == pytest.approx(0.1)
    assert behaviour(world, "eu", "mistral-7b", None).latency.constant == pytest.approx(0.3)
    assert behaviour(world, "eu", "llama3.2-1b", None).limit is not None
    assert behaviour(world, "eu", "mistral-7b", None).limit is None


def test_rules_by_question_match_category_subject_and_control(world, question_of):
    def answers(**fields):
        return behaviour(world, "us", "mistral-7b", question_of(1, **fields)).answers

    assert answers(about=["china"]) == Answers(evasive=0.5)
    assert answers(about=["taiwan", "us"]) == Answers(evasive=0.5)
    assert answers(about=["france"]) == Answers(refusal=0.1)
    assert answers(category="science", about=["china"]) == Answers(refusal=0.1)
    assert answers(about=["china"], control=True) == Answers()
    assert behaviour(world, "us", "mistral-7b", None).answers == Answers(refusal=0.1)


def test_a_question_is_withheld_more_or_less_often_by_the_same_odds_everywhere(question_of):
    world = read_world("default")
    question = question_of(5)
    factor = math.exp(question_deviation(world, question.id))
    plain = world.model_copy(update={"question_spread": 0.0})

    for region in ("us", "eu", "apac"):
        for model in world.models:
            centre = behaviour(plain, region, model, question).answers
            here = behaviour(world, region, model, question).answers
            withheld, expected = here.refusal + here.evasive, centre.refusal + centre.evasive
            assert withheld / (1 - withheld) == pytest.approx(factor * expected / (1 - expected))
            assert here.refusal / here.evasive == pytest.approx(centre.refusal / centre.evasive)


def test_questions_differ_by_the_spread_of_the_world():
    world = read_world("default")
    deviations = [question_deviation(world, f"q-{n}") for n in range(2000)]

    assert sum(deviations) / 2000 == pytest.approx(0, abs=0.04)
    assert math.sqrt(sum(d * d for d in deviations) / 2000) == pytest.approx(world.question_spread, rel=0.05)
