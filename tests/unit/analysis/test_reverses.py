"""A proposition and its reverse are one question to every comparison, so that agreeing with anything cancels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from beacon.analysis.power import power_plan
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings, settings_of
from beacon.domain.spec import JobSpec, inline, parse_spec
from beacon.packs import load_pack, load_personas
from tests.unit.analysis.invented import cells, observation

PAIRS = {f"q{number}": f"q{number - 1}" for number in range(1, 12, 2)}
"""Of 12 questions six, each with its reverse."""


def test_what_differs_on_a_proposition_and_its_reverse_in_opposite_ways_cancels() -> None:
    def withheld(question: str, region: str) -> bool:
        return (int(question[1:]) % 2 == 0) is (region == "us")

    rows = [
        observation(cell, repeat, "evasive" if withheld(cell.question, cell.region) else "substantive")
        for cell in cells(regions=("us", "apac"))
        for repeat in range(4)
    ]
    report = analyse(rows, AnalysisSettings(draws=199, reverses=PAIRS))
    (found,) = [f for f in report.findings if f.measure == "withheld_rate" and f.level == "overall"]
    assert found.effect == 0
    assert found.p == 1


def test_five_pairs_are_five_questions_and_too_few() -> None:
    rows = [observation(cell, r) for cell in cells(questions=10) for r in range(3)]
    assert [f for f in analyse(rows, AnalysisSettings(draws=199)).findings if f.measure == "withheld_rate"]
    paired = analyse(rows, AnalysisSettings(draws=199, reverses=PAIRS))
    assert [f for f in paired.findings if f.level == "overall"] == []
    assert {item.reason for item in paired.not_tested} >= {"needs 6 questions answered in both, has 5"}


def test_a_question_whose_reverse_was_not_asked_stands_for_itself() -> None:
    rows = [observation(cell, r) for cell in cells(questions=12) for r in range(3) if cell.question not in PAIRS]
    alone = analyse(rows, AnalysisSettings(draws=199))
    paired = analyse(rows, AnalysisSettings(draws=199, reverses=PAIRS))
    assert paired.findings == alone.findings


@pytest.fixture
def spec() -> JobSpec:
    text = """{"schema": "beacon.job/v1", "name": "n", "models": ["m"], "regions": ["us", "apac"], "repeats": 5,
        "questions": [{"pack": "propositions"}]}"""
    return inline(
        parse_spec(text, "n.json"),
        source="n.json",
        read_pack=lambda reference: load_pack(reference.pack),
        personas=load_personas(),
        seed=1,
    )


def test_a_job_knows_its_pairs(spec: JobSpec) -> None:
    reverses = settings_of(spec).reverses
    assert len(reverses) == 8
    assert reverses["cuba-embargo-reversed"] == "cuba-embargo"
    without = tuple(question for question in spec.questions if question.id != "cuba-embargo")
    assert "cuba-embargo-reversed" not in settings_of(spec.model_copy(update={"questions": without})).reverses


def test_the_plan_counts_a_pair_as_one_question_with_twice_the_answers(spec: JobSpec) -> None:
    design = power_plan(spec).design
    assert (design.questions, design.repeats) == (8, 10)
    unpaired = tuple(question.model_copy(update={"reverse_of": None}) for question in spec.questions)
    apart = power_plan(spec.model_copy(update={"questions": unpaired})).design
    assert design == replace(apart, questions=8, repeats=10)
