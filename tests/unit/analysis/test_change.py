from __future__ import annotations

from dataclasses import replace

import pytest

from beacon.analysis.change import changes
from beacon.analysis.observation import Cell
from beacon.analysis.settings import AnalysisSettings
from beacon.errors import InputError
from tests.unit.analysis.invented import cells, job

SETTINGS = AnalysisSettings(draws=499)
NAMES = ("2026-01-01", "2026-02-01")


def later_refuses(cell: Cell) -> float:
    return 0.8 if cell.region == "apac" else 0.1


def test_a_change_is_told_with_its_runs_model_and_region_only_where_it_is() -> None:
    before = job(cells(), 4, lambda _: 0.1)
    after = [replace(o, execution_id=f"{o.execution_id}/2") for o in job(cells(), 4, later_refuses, seed=2)]
    report = changes(before, after, SETTINGS, names=NAMES)
    assert {finding.factor for finding in report.findings} == {"run"}
    (found,) = [f for f in report.findings if f.call == "difference" and f.measure == "refusal_rate"]
    assert (found.model, found.region, found.groups) == ("m", "apac", NAMES)
    assert "m in apac refused" in found.sentence
    assert "more often in run 2026-02-01 than in run 2026-01-01" in found.sentence


def test_another_model_behind_the_name_is_told() -> None:
    before = job(cells(), 4, lambda _: 0.1)
    after = [
        replace(o, execution_id=f"{o.execution_id}/2", model_echoed="m-0002") for o in job(cells(), 4, later_refuses)
    ]
    before = [replace(o, model_echoed="m-0001") for o in before]
    report = changes(before, after, SETTINGS, names=NAMES)
    (found,) = [f for f in report.findings if f.call == "difference" and f.measure == "refusal_rate"]
    assert found.confounded_with == ("routes",)
    assert any("m-0001" in caveat and "m-0002" in caveat for caveat in found.caveats)


def test_one_execution_cannot_be_in_both_runs() -> None:
    rows = job(cells(), 1, lambda _: 0.1)
    with pytest.raises(InputError):
        changes(rows, rows, SETTINGS)
