"""What the terminal says of a job's findings, above all where there are none."""

from __future__ import annotations

from typing import Any

import pytest
from rich.table import Table

from beacon.cli.findings import print_findings, report_command
from beacon.cli.terminal import console
from beacon.domain.states import JobStatus, Verdict
from beacon.store.jobs import Job


@pytest.fixture(autouse=True)
def _width_of_a_pipe(monkeypatch):
    """Lines are broken where COLUMNS says how wide, as a parallel test run does."""
    monkeypatch.delenv("COLUMNS", raising=False)


MORE = report_command("k3v9", None)


def job() -> Job:
    counts = {"completed": 4, "failed": 0, "timed_out": 0, "cancelled": 0}
    fields: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    fields |= {"id": "k3v9", "name": "Small", "status": JobStatus.COMPLETED, "verdict": Verdict.MET}
    return Job(**{**fields, "counts": counts, "total": 4, "cost_usd": 0.0, "cost_unknown": 0})


def finding(factor: str, call: str) -> dict[str, Any]:
    return {"factor": factor, "call": call, "sentence": f"A sentence about a {factor}.", "caveats": ["A caveat."]}


def report(*findings: dict[str, Any]) -> dict[str, Any]:
    return {"findings": list(findings), "notices": []}


@pytest.mark.parametrize("findings", [(), (finding("model", "difference"),)])
def test_what_could_not_be_compared_is_not_called_equal(capsys, findings):
    print_findings(job(), report(*findings), MORE)
    said = capsys.readouterr().out
    assert "No comparison of regions could be tested." in said
    assert "No differences" not in said


def test_what_was_compared_and_is_undecided_is_not_called_equal_either(capsys):
    print_findings(job(), report(finding("region", "undecided"), finding("region", "negligible")), MORE)
    assert "No differences between regions were found: of 2 comparisons 1 stays undecided." in capsys.readouterr().out


def test_the_place_of_all_comparisons_is_the_one_that_the_caller_knows(capsys):
    print_findings(job(), report(), "http://127.0.0.1:8080/jobs/k3v9/findings")
    said = capsys.readouterr().out
    assert "All of them: http://127.0.0.1:8080/jobs/k3v9/findings" in said
    assert "beacon report" not in said


def test_a_pipe_gets_no_blanks_at_the_ends_of_lines(capsys):
    print_findings(job(), report(finding("region", "difference"), finding("model", "difference")), MORE)
    table = Table.grid()
    table.add_row("short")
    table.add_row("x" * 200)
    console().print(table)
    said = capsys.readouterr().out
    assert "1 difference between regions:" in said
    lines = said.splitlines()
    assert "x" * 200 in lines
    assert all(line == line.rstrip() for line in lines)


def test_the_command_that_is_advised_names_the_database_that_was_named():
    assert report_command("k3v9", None) == "beacon report k3v9"
    assert report_command("k3v9", "my jobs.db") == "beacon report k3v9 --database 'my jobs.db'"
