"""The findings on recorded answers of real models, against what is known of them.

One answer a cell; every region was asked in a language of its own: us in English, eu in Finnish, apac in
Chinese. The answers lie beside the repository (`../shared`, or where BEACON_SHARED says) and are no part of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beacon.analysis.finding import Finding
from beacon.analysis.observation import Observation
from beacon.analysis.report import Report, analyse
from beacon.analysis.settings import AnalysisSettings
from benchmarks.real_answers import (
    DIFFERENCES,
    FI_EN,
    NONE,
    SOURCE,
    ZH_EN,
    ZH_FI,
    ReplayedJob,
    calls_of,
    compared,
    expected,
    house_label,
    read_rows,
)

ROOT = Path(__file__).resolve().parents[3]
ANSWERS = Path(os.environ.get("BEACON_SHARED", ROOT.parent / "shared")) / "data" / "answers.jsonl.gz"

pytestmark = pytest.mark.skipif(not ANSWERS.is_file(), reason=f"the recorded answers are not there: {ANSWERS}")


@pytest.fixture(scope="module")
def report() -> Report:
    rows = read_rows(ANSWERS)
    assert len(rows) == 18 * 3 * 50
    observations = [
        Observation(
            execution_id=str(number),
            question_id=row["question_id"],
            model=row["model"],
            region=row["region"],
            persona="none",
            language=row["language"],
            repeat=0,
            status="completed",
            label=house_label(row),
            answer=row["answer"],
            finish_reason=row["finish_reason"],
            provider=f"replay-{row['region']}",
            upstream=row["upstream"],
            started_at=row["answered_at"],
            replayed=True,
        )
        for number, row in enumerate(rows)
    ]
    return analyse(observations, AnalysisSettings(factors=("region",)))


@pytest.fixture(scope="module")
def pairs(report: Report) -> dict[tuple[str, tuple[str, str]], Finding]:
    """The family: 18 models by 3 pairs of regions."""
    found = {
        (f.model or "", f.groups): f for f in report.findings if f.measure == "withheld_rate" and f.level == "overall"
    }
    assert len(found) == 54
    return found


Pairs = dict[tuple[str, tuple[str, str]], Finding]


def test_exactly_the_known_differences_come_out(pairs: Pairs) -> None:
    found: dict[str, dict[tuple[str, str], int]] = {}
    for (model, groups), finding in pairs.items():
        if finding.call == "difference":
            found.setdefault(model, {})[groups] = 1 if finding.effect > 0 else -1
    assert found == DIFFERENCES
    assert sum(map(len, found.values())) == 30


def test_models_without_a_difference_show_none(pairs: Pairs) -> None:
    assert {finding.call for (model, _), finding in pairs.items() if model in NONE} <= {"undecided", "negligible"}


def test_nothing_is_said_of_single_questions(report: Report) -> None:
    assert [f for f in report.findings if f.level == "question"] == []
    assert all(f.interval_pack is None for f in report.findings)


def test_every_finding_says_that_region_and_language_are_one(pairs: Pairs) -> None:
    for finding in pairs.values():
        assert "language" in finding.confounded_with
        assert "Region with language (" in finding.sentence


def test_whole_mixes_of_hosts_are_compared_not_the_main_one_alone(pairs: Pairs) -> None:
    def differ(model: str, groups: tuple[str, str]) -> bool:
        finding = pairs[model, groups]
        said = finding.sentence.startswith("Over different routes (")
        assert said is ("routes" in finding.confounded_with)
        return said

    for groups in (ZH_FI, ZH_EN, FI_EN):
        assert differ("anthropic_claude-3-5-sonnet-20241022", groups)
        assert not differ("meta-llama_llama-3.1-70b-instruct", groups)
        assert not differ("x-ai_grok-2-1212", groups)
    for model in ("anthropic_claude-3-7-sonnet-20250219", "deepseek_deepseek-chat", "deepseek_deepseek-r1"):
        assert differ(model, ZH_EN)
        assert differ(model, FI_EN)
        assert not differ(model, ZH_FI)
    assert differ("qwen_qwen-2.5-72b-instruct", FI_EN)
    assert differ("meta-llama_llama-3.3-70b-instruct", ZH_EN)


def test_deepseek_r1_is_inseparable_from_its_routes_in_one_pair_and_holds_within_them_in_another(pairs: Pairs) -> None:
    finnish_english = pairs["deepseek_deepseek-r1", FI_EN]
    assert finnish_english.call == "difference"
    assert "so not shown to be an effect of the region" in finnish_english.sentence
    assert any(caveat.startswith("Inseparable from the routes") for caveat in finnish_english.caveats)
    chinese_finnish = pairs["deepseek_deepseek-r1", ZH_FI]
    assert chinese_finnish.call == "difference"
    assert "routes" not in chinese_finnish.confounded_with
    assert any("same upstream host the difference holds" in caveat for caveat in chinese_finnish.caveats)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("openai_gpt-4o-2024-11-20", "apac was asked 46 days later than us"),
        ("x-ai_grok-2-1212", "apac was asked 46 days later than us"),
        ("google_gemini-1.5-pro-002", "apac was asked 46 days later than us"),
        ("deepseek_deepseek-r1", "apac was asked 45 days later than us"),
        ("anthropic_claude-3-7-sonnet-20250219", "apac was asked 19 days later than us"),
    ],
)
def test_arms_asked_weeks_apart_carry_the_caveat(pairs: Pairs, model: str, words: str) -> None:
    assert any(caveat.startswith(words) for caveat in pairs[model, ZH_EN].caveats)


def test_the_report_says_that_answers_are_replayed_and_some_are_missing(report: Report) -> None:
    assert any("replay answers recorded earlier" in notice for notice in report.notices)
    assert report.data_quality["missing"] > 0
    assert sum(row["count"] for row in report.data_quality["missing_by"]) == report.data_quality["missing"]


@pytest.mark.slow
def test_the_same_comes_out_of_a_job_whose_labels_were_imported(tmp_path: Path) -> None:
    job = ReplayedJob(tmp_path, read_rows(ANSWERS))
    job.run()
    report = job.report_by(map(house_label, job.rows), SOURCE)
    calls = calls_of(report)
    found = compared(calls, expected(calls))
    assert (found["pairs"], found["differences"], found["same_call"], found["opposite"]) == (54, 30, 54, 0)
    assert found["differences_of_models_without_any"] == 0
    assert report["data_quality"]["label_sources"] == {f"import:{SOURCE}": 2700}
