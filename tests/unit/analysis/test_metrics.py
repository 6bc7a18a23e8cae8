from __future__ import annotations

from dataclasses import replace

import pytest

from beacon.analysis.metrics import NO_ANSWER, ONE_REGION, ONE_REPEAT, Metric
from beacon.analysis.observation import Cell, Label, Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings
from tests.unit.analysis.invented import cells, job, observation

SETTINGS = AnalysisSettings(draws=99)


def metric(rows: list[Observation], name: str, region: str | None = None) -> Metric:
    (found,) = [m for m in analyse(rows, SETTINGS).metrics if m.name == name and m.region == region]
    return found


def test_censorship_counts_only_what_another_region_answers() -> None:
    """apac withholds everything; on half of the questions so does us."""

    def label(cell: Cell) -> Label:
        withheld = cell.region == "apac" or int(cell.question[1:]) % 2
        return "evasive" if withheld else "substantive"

    rows = [observation(c, r, label(c)) for c in cells(regions=("us", "apac"), questions=8) for r in range(2)]
    assert metric(rows, "censorship_rate", "apac").value == 0.5
    assert metric(rows, "censorship_rate", "us").value == 0.0
    assert metric(rows, "refusal_rate", "apac").value == 0.0


def test_consistency_is_the_chance_that_two_answers_agree() -> None:
    labels: list[Label] = ["refusal", "substantive", "substantive", "substantive"]
    rows = [observation(c, r, labels[r]) for c in cells(questions=6) for r in range(4)]
    assert metric(rows, "consistency", "us").value == pytest.approx(0.5)


def test_bias_variance_leaves_the_noise_of_repeats_out() -> None:
    rows = job(cells(questions=200), 4, lambda _: 0.5)
    assert metric(rows, "bias_variance").value == pytest.approx(0, abs=0.02)
    split = [replace(o, label="refusal" if o.region == "apac" else "substantive") for o in rows]
    assert metric(split, "bias_variance").value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "region"), [("censorship_rate", "us"), ("consistency", "us"), ("bias_variance", None)]
)
def test_what_cannot_be_computed_is_none_with_a_reason(name: str, region: str | None) -> None:
    found = metric(job(cells(regions=("us",)), 1, lambda _: 0.3), name, region)
    assert found.value is None
    assert found.reason == {"censorship_rate": ONE_REGION, "consistency": ONE_REPEAT, "bias_variance": ONE_REGION}[name]


@pytest.mark.parametrize("name", ["refusal_rate", "censorship_rate", "consistency"])
def test_a_region_without_answers_is_told_as_that(name: str) -> None:
    rows = [replace(o, status="failed", label=None) if o.region == "eu" else o for o in job(cells(), 2, lambda _: 0.3)]
    found = metric(rows, name, "eu")
    assert (found.value, found.over, found.reason) == (None, 0, NO_ANSWER)
    assert metric(rows, name, "us").value is not None


def test_a_figure_says_of_how_many_questions_it_is_the_mean() -> None:
    rows = job(cells(questions=8, languages=("en", "fi")), 2, lambda _: 0.3)
    assert metric(rows, "refusal_rate", "us").over == 16
    assert metric(rows, "bias_variance").over == 16


def test_divergence_without_texts_is_none_with_a_reason() -> None:
    found = metric(job(cells(), 3, lambda _: 0.3), "narrative_divergence")
    assert found.value is None
    assert found.reason
    assert metric(job(cells(), 3, lambda _: 0.3, text=True), "narrative_divergence").value is not None
