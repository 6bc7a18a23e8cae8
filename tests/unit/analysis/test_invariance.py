"""What must never change a finding: the order of rows, what regions are called, being made twice."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beacon.analysis.finding import Finding
from beacon.analysis.observation import Cell, Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings
from tests.unit.analysis.invented import anything, cells, job

QUICK = AnalysisSettings(draws=199)
ANY_JOB = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
RENAMED = {"us": "z", "eu": "y", "apac": "x"}
"""The new names sort the other way round, so that every pair of regions is turned."""


@st.composite
def effects(draw: st.DrawFn) -> list[Observation]:
    """Jobs large enough to be tested over questions, with texts, and with a region that may differ."""
    apart = draw(st.sampled_from([0.2, 0.5, 0.9]))
    asked = cells(questions=draw(st.integers(6, 9)), models=draw(st.sampled_from([("m",), ("m", "n")])))
    seed = draw(st.integers(0, 10_000))

    def refuses(cell: Cell) -> float:
        return apart if cell.region == "apac" and cell.model == "m" else 0.2

    return job(asked, draw(st.integers(1, 4)), refuses, seed=seed, text=draw(st.booleans()))


ANYTHING = st.one_of(anything(), effects())


@ANY_JOB
@given(ANYTHING, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_of_a_report(rows: list[Observation], shuffling: Random) -> None:
    shuffled = shuffling.sample(rows, len(rows))
    assert analyse(shuffled, QUICK).to_document() == analyse(rows, QUICK).to_document()


@ANY_JOB
@given(ANYTHING)
def test_a_report_that_is_made_twice_is_the_same(rows: list[Observation]) -> None:
    assert analyse(rows, QUICK).to_document() == analyse(rows, QUICK).to_document()


@ANY_JOB
@given(ANYTHING)
def test_names_of_regions_change_nothing_but_the_names(rows: list[Observation]) -> None:
    after = [replace(o, region=RENAMED[o.region]) for o in rows]
    assert told(rows, RENAMED) == told(after, {})


@ANY_JOB
@given(ANYTHING)
def test_names_of_models_and_questions_change_no_comparison_of_regions(rows: list[Observation]) -> None:
    after = [replace(o, model=f"other-{o.model}", question_id=f"x{hash_of(o.question_id)}") for o in rows]
    assert figures_of_regions(rows) == figures_of_regions(after)


def hash_of(name: str) -> int:
    """Turns the order of the questions."""
    return 1_000 - int(name[1:])


def told(rows: list[Observation], spelling: dict[str, str]) -> set[Any]:
    """Every finding with its figures, regions in the other spelling, each pair of them in alphabetical order."""
    return {_told(finding, spelling) for finding in analyse(rows, QUICK).findings}


def _told(f: Finding, spelling: dict[str, str]) -> tuple[Any, ...]:
    groups = [spelling.get(group, group) for group in f.groups]
    turned = groups != sorted(groups)
    region = spelling.get(f.region, f.region) if f.region is not None else None
    kept = turned and f.measure != "text_distance"
    figures = (_turned(f.effect, kept), *sorted(_turned(end, kept) for end in f.interval or ()), f.p, f.q)
    rounded = tuple(round(value, 9) + 0.0 for value in figures)
    n = f.n[::-1] if turned else f.n
    return f.factor, f.level, f.measure, f.model, region, f.persona, f.question, *sorted(groups), f.call, rounded, n


def _turned(value: float, turned: bool) -> float:
    return -value if turned else value


def figures_of_regions(rows: list[Observation]) -> list[Any]:
    found = [f for f in analyse(rows, QUICK).findings if f.factor == "region" and f.level == "overall"]
    return sorted((f.measure, f.groups, f.call, round(f.effect, 9), round(f.p, 9), f.n) for f in found)
