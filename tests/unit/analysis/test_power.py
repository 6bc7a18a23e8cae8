from __future__ import annotations

from dataclasses import replace

import pytest

from beacon.analysis.power import (
    BASE_RATES,
    Design,
    intercept,
    noise,
    power_plan,
    question_rates,
    repeats_needed,
    smallest_effect,
    smallest_on_one_question,
)
from beacon.domain.spec import JobSpec

DESIGN = Design(questions=30, repeats=5, pairs=3)


@pytest.mark.parametrize("rate", BASE_RATES)
def test_more_questions_and_more_repeats_show_less(rate: float) -> None:
    effect = smallest_effect(DESIGN, rate)
    more_questions = smallest_effect(replace(DESIGN, questions=60), rate)
    more_repeats = smallest_effect(replace(DESIGN, repeats=10), rate)
    more_pairs = smallest_effect(replace(DESIGN, pairs=27), rate)
    assert effect is not None
    assert more_questions is not None
    assert more_repeats is not None
    assert more_pairs is not None
    assert more_questions < more_repeats < effect < more_pairs


@pytest.mark.parametrize("rate", BASE_RATES)
def test_repeats_needed_are_the_fewest_that_find_the_effect(rate: float) -> None:
    needed = repeats_needed(DESIGN, rate, 0.12)
    assert needed is not None
    with_needed = smallest_effect(replace(DESIGN, repeats=needed), rate)
    with_fewer = smallest_effect(replace(DESIGN, repeats=needed - 1), rate)
    assert with_needed is not None
    assert with_needed <= 0.12 + 1e-4
    assert with_fewer is None or with_fewer > 0.12


def test_lost_answers_are_reckoned_with() -> None:
    full, half = smallest_effect(DESIGN, 0.1), smallest_effect(replace(DESIGN, completion=0.5), 0.1)
    five = smallest_effect(replace(DESIGN, repeats=10, completion=0.5), 0.1)
    assert full is not None
    assert half is not None
    assert half > full
    assert five == full


def test_what_repeats_cannot_show_is_none() -> None:
    assert smallest_effect(Design(questions=5, repeats=50, pairs=3), 0.1) is None
    assert repeats_needed(Design(questions=7, repeats=1, pairs=3), 0.1, 0.1) is None


def test_rates_of_questions_have_the_mean_that_was_asked() -> None:
    for mean in (0.02, 0.3, 0.5):
        found = noise(mean, 0.0, 1.5)
        assert found.between == pytest.approx(0, abs=1e-12)
        assert found.within < 2 * mean * (1 - mean)
    assert intercept(0.5, 1.5) == pytest.approx(0, abs=1e-9)
    assert question_rates(0.1, 0.0) == pytest.approx(0.1)


def test_a_single_question_needs_many_repeats() -> None:
    assert smallest_on_one_question(2, 3, 30) is None
    assert smallest_on_one_question(1, 3, 1) is None
    ten, twenty = smallest_on_one_question(10, 3, 30), smallest_on_one_question(20, 3, 30)
    assert ten is not None
    assert twenty is not None
    assert twenty < ten


def spec(**fields: object) -> JobSpec:
    document = {
        "schema": "beacon.job/v1",
        "name": "a job",
        "questions": [{"id": f"q{n}", "text": "?"} for n in range(20)],
        "models": ["a", "b"],
        "regions": ["us", "eu", "apac"],
        "repeats": 5,
        "seed": 1,
    }
    return JobSpec.model_validate({**document, **fields})


def test_plan_counts_the_family_and_says_what_it_assumes() -> None:
    plan = power_plan(spec())
    assert plan.comparisons == 6
    assert plan.design.questions == 20
    told = plan.sentences()
    assert len(told) == len(BASE_RATES) + 2
    assert "a difference of" in told[0]
    assert "standard deviation of 1.5" in told[-1]


def test_plan_of_one_region_says_so() -> None:
    assert power_plan(spec(regions=["us"])).sentences() == [
        "One region only: no difference between regions can be shown."
    ]


def test_plan_of_few_questions_says_what_is_needed() -> None:
    few = [{"id": f"q{n}", "text": "?"} for n in range(3)]
    (told,) = power_plan(spec(questions=few)).sentences()
    assert "needs 6" in told


def test_languages_asked_everywhere_count_as_repeats() -> None:
    questions = [{"id": f"q{n}", "texts": {"en": "?", "zh": "?"}} for n in range(20)]
    both = power_plan(spec(questions=questions, languages=["en", "zh"]))
    assert both.design.repeats == 10
    assert both.reaches[1].repeats_for_wanted is not None
    once = power_plan(spec(repeats=10))
    assert both.reaches[1].smallest_effect == once.reaches[1].smallest_effect


def test_no_difference_is_said_to_be_found_that_would_be_called_negligible() -> None:
    """With much data the test alone finds 3 points, which lie within the smallest effect that matters."""
    precise = Design(60, 20, 3)
    by_the_test_alone = smallest_effect(replace(precise, negligible=0.0), 0.02)
    assert by_the_test_alone is not None
    assert by_the_test_alone < 0.032
    assert smallest_effect(precise, 0.02) == pytest.approx(0.05, abs=1e-4)
    assert repeats_needed(precise, 0.02, 0.04) is None
    coarse = Design(10, 2, 3)
    assert smallest_effect(coarse, 0.1) == smallest_effect(replace(coarse, negligible=0.0), 0.1)
