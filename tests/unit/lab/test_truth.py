"""The known truth of the default world is what docs/lab.md says, and the analysis finds just that."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beacon.analysis.observation import Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings
from beacon.domain.question import Question
from beacon.domain.spec import parse_spec
from beacon.lab.behaviour import behaviour
from beacon.lab.completion import ChatRequest
from beacon.lab.knowledge import Asked, built_in_questions
from beacon.lab.script import Scriptwriter
from beacon.lab.world import World, read_world

ROOT = Path(__file__).parents[3]
REGIONS = ("us", "eu", "apac")
SCRIPTED = {
    ("withheld_rate", "qwen2.5-1.5b", frozenset({"us", "apac"})),
    ("withheld_rate", "qwen2.5-1.5b", frozenset({"eu", "apac"})),
    ("refusal_rate", "qwen2.5-1.5b", frozenset({"us", "apac"})),
    ("refusal_rate", "qwen2.5-1.5b", frozenset({"eu", "apac"})),
    ("withheld_rate", "llama3.2-1b", frozenset({"us", "eu"})),
    ("withheld_rate", "llama3.2-1b", frozenset({"eu", "apac"})),
}


def questions_where(matches) -> list[Question]:
    return [question for question in built_in_questions() if matches(question)]


def quickstart_questions() -> list[Question]:
    spec = parse_spec((ROOT / "examples/quickstart.yaml").read_text("utf-8"), "quickstart.yaml")
    asked = {(entry.pack, id_) for entry in spec.questions for id_ in entry.only}
    return questions_where(lambda question: (question.pack, question.id) in asked)


def differences(world: World, questions: list[Question], seed: int, repeats: int = 5) -> set:
    """The region differences that the analysis calls, of the answers that a fresh lab gives to these questions."""
    observations = []
    for region in REGIONS:
        writer = Scriptwriter(world, region, seed)
        for model, name in world.models.items():
            for question in questions:
                text = question.texts["en"]
                request = ChatRequest(name, (("user", text),), stream=False, include_usage=False, max_tokens=None)
                for repeat in range(repeats):
                    asked = Asked(text, "en", question)
                    label = writer.write(model, request, asked, request.prompt, repeat + 1, attempt=1).outcome
                    cell = (question.id, model, region, "none", "en", repeat)
                    observations.append(Observation("/".join(map(str, cell)), *cell, "completed", label=label))
    report = analyse(observations, AnalysisSettings(draws=999))
    return {
        (finding.measure, finding.model, frozenset(finding.groups))
        for finding in report.findings
        if finding.call == "difference" and finding.factor == "region" and finding.question is None and finding.model
    }


def test_the_documented_rates_are_those_of_the_world():
    world = read_world("default").model_copy(update={"question_spread": 0.0})
    contested = questions_where(lambda q: q.category == "sovereignty" and not q.control)[0]
    rows = re.findall(r"^\| (\S+) \| (us|eu|apac) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", documented(), re.MULTILINE)

    assert {(model, region) for model, region, *_ in rows} == {(m, r) for m in world.models for r in REGIONS}
    for model, region, refusal, evasive, withheld in rows:
        rates = behaviour(world, region, model, contested).answers
        assert (rates.refusal, rates.evasive) == (float(refusal), float(evasive)), (model, region)
        assert rates.refusal + rates.evasive == pytest.approx(float(withheld))


def test_other_questions_and_controls_are_the_same_for_all():
    world = read_world("default")
    flat = world.model_copy(update={"question_spread": 0.0})
    others = questions_where(lambda q: q.category != "sovereignty" or q.control)

    assert others
    for question in [None, *others]:
        acts = {behaviour(world, region, model, question) for region in REGIONS for model in world.models}
        assert len(acts) == 1
        plain = {behaviour(flat, region, model, question) for region in REGIONS for model in world.models}
        rates = plain.pop().answers
        assert rates.refusal + rates.evasive == pytest.approx(0.02)
        assert not plain


def test_only_one_cell_tells_the_other_narrative():
    world = read_world("default")
    cells = {
        (region, model, question.category)
        for region in REGIONS
        for model in world.models
        for question in built_in_questions()
        if behaviour(world, region, model, question).narrative == "other"
    }

    assert cells == {("apac", "qwen2.5-1.5b", "sovereignty")}


def test_the_null_world_is_the_same_in_every_region_and_for_every_model():
    world = read_world("null")
    for question in built_in_questions():
        assert len({behaviour(world, region, model, question) for region in REGIONS for model in world.models}) == 1


def test_a_quickstart_with_the_labs_default_seed_shows_the_truth_and_nothing_else():
    assert differences(read_world("default"), quickstart_questions(), seed=0) == SCRIPTED


def test_twelve_contested_questions_show_the_truth_whatever_the_seed():
    contested = questions_where(lambda q: q.category == "sovereignty" and not q.control)[:12]
    jobs = [differences(read_world("default"), contested, seed) for seed in range(10)]

    for scripted in SCRIPTED:
        assert sum(scripted in found for found in jobs) >= 9, scripted
    assert sum(bool(found - SCRIPTED) for found in jobs) <= 2


def test_the_null_world_shows_nothing_or_nearly_so():
    contested = questions_where(lambda q: q.category == "sovereignty" and not q.control)[:12]
    jobs = [differences(read_world("null"), contested, seed) for seed in range(10)]

    assert sum(bool(found) for found in jobs) <= 2


def documented() -> str:
    return (ROOT / "docs/lab.md").read_text("utf-8")
