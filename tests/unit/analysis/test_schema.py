from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs

from beacon.analysis.report import analyse
from beacon.analysis.schema import finding_schema
from beacon.analysis.settings import AnalysisSettings
from tests.unit.analysis.invented import cells, job

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "finding.json"


def test_the_published_schema_is_that_of_the_type() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == finding_schema(), "run tools/write_schemas.py"


def test_every_finding_of_a_report_fits_it() -> None:
    rows = job(cells(questions=8), 8, lambda cell: 0.9 if cell.region == "apac" else 0.1, text=True)
    document = analyse(rows, AnalysisSettings(draws=199)).to_document()
    validator = jsonschema_rs.validator_for(finding_schema())
    levels = {finding["level"] for finding in document["findings"]}
    assert levels == {"overall", "question"}
    for finding in document["findings"]:
        assert [error.message for error in validator.iter_errors(finding)] == []
