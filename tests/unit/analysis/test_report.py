from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from beacon.analysis.answer import TextLabel
from beacon.analysis.answer_card import MeasuredErrors
from beacon.analysis.finding import Finding
from beacon.analysis.observation import Cell, Observation
from beacon.analysis.report import Report, analyse
from beacon.analysis.settings import AnalysisSettings, LabelQuality
from beacon.errors import InputError
from tests.unit.analysis.invented import anything, cells, job

QUICK = AnalysisSettings(draws=499, levels={"region": ("us", "eu", "apac")})


def apac_refuses(cell: Cell) -> float:
    return 0.85 if cell.region == "apac" and cell.model == "m" else 0.15


def never(_cell: Cell) -> float:
    return 0.0


def of(report: Report, measure: str = "refusal_rate", **wanted: object) -> list[Finding]:
    found = [f for f in report.findings if f.measure == measure]
    return [f for f in found if all(getattr(f, name) == value for name, value in wanted.items())]


def one(report: Report, measure: str = "refusal_rate", **wanted: object) -> Finding:
    (found,) = of(report, measure, **wanted)
    return found


@pytest.fixture(scope="module")
def scripted() -> list[Observation]:
    """Two models; only `m` refuses more, and only in apac."""
    return job(cells(models=("m", "steady")), 5, apac_refuses, text=True)


def test_what_was_scripted_is_found_and_nothing_else(scripted: list[Observation]) -> None:
    report = analyse(scripted, QUICK)
    differing = {(f.model, f.groups) for f in of(report, factor="region", level="overall") if f.call == "difference"}
    assert differing == {("m", ("us", "apac")), ("m", ("eu", "apac"))}
    finding = one(report, factor="region", model="m", groups=("us", "apac"), level="overall")
    assert 0.5 < finding.effect < 0.9
    assert finding.interval is not None
    assert finding.interval_pack is not None
    assert finding.sentence.startswith("m refused ")
    assert " more often in apac than in us, averaged over 12 questions (95% interval " in finding.sentence
    assert "60 and 60 answers" in finding.sentence
    assert finding.confounded_with == ()


def test_document_is_plain_json_with_the_fields_of_the_contract(scripted: list[Observation]) -> None:
    document = analyse(scripted, QUICK).to_document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["method"] == "beacon.analysis/v1"
    wanted = {
        "id", "factor", "model", "question", "measure", "groups", "effect", "interval", "interval_pack", "p", "q",
        "n", "call", "sentence", "caveats",
    }  # fmt: skip
    for finding in document["findings"]:
        assert wanted <= finding.keys()
        assert finding["call"] in {"difference", "negligible", "undecided"}
    ids = [finding["id"] for finding in document["findings"]]
    assert len(ids) == len(set(ids))


def test_differences_come_first_and_regions_before_models(scripted: list[Observation]) -> None:
    report = analyse(scripted, QUICK)
    calls = [f.call for f in report.findings]
    assert calls == sorted(calls, key=["difference", "undecided", "negligible"].index)
    assert report.findings[0].factor == "region"
    assert report.findings[0].level == "overall"


def test_single_questions_are_named_where_repeats_allow() -> None:
    def only_q3(cell: Cell) -> float:
        return 1.0 if cell.question == "q3" and cell.region == "apac" else 0.0

    report = analyse(job(cells(), 12, only_q3), QUICK)
    found = of(report, level="question")
    assert {(f.question, f.groups) for f in found} == {("q3", ("us", "apac")), ("q3", ("eu", "apac"))}
    overall = one(report, level="overall", groups=("us", "apac"))
    assert overall.call == "undecided"
    assert "It differs on 1 of 12 questions; no consistent direction" in overall.sentence


def test_with_one_repeat_nothing_is_said_of_a_single_question() -> None:
    report = analyse(job(cells(questions=30), 1, apac_refuses), QUICK)
    assert of(report, level="question") == []
    assert report.questions == ()
    found = one(report, level="overall", groups=("us", "apac"))
    assert found.call == "difference"
    assert found.interval_pack is None
    assert any("One repeat" in limit for limit in report.limits)


def test_too_few_questions_are_told_and_not_tested() -> None:
    report = analyse(job(cells(questions=5), 5, apac_refuses), QUICK)
    assert of(report, level="overall") == []
    assert {item.reason for item in report.not_tested} == {
        "needs 6 questions answered in both, has 5",
    }


def test_too_few_models_are_not_pooled(scripted: list[Observation]) -> None:
    reasons = {item.reason for item in analyse(scripted, QUICK).not_tested if item.comparison.level == "pooled"}
    assert reasons == {"needs 6 models answered in both, has 2"}


def test_six_models_are_pooled_with_models_as_clusters() -> None:
    def everyone(cell: Cell) -> float:
        return 0.8 if cell.region == "apac" else 0.1

    report = analyse(job(cells(models=tuple("abcdefg"), questions=6), 3, everyone), QUICK)
    pooled = one(report, level="pooled", groups=("us", "apac"), factor="region")
    assert (pooled.model, pooled.question, pooled.clusters) == (None, None, 7)
    assert pooled.call == "difference"
    assert "averaged over 7 models" in pooled.sentence
    assert "models as clusters" in pooled.sentence


def test_region_bound_to_language_is_said_first() -> None:
    asked = cells(languages={"us": "en", "eu": "en", "apac": "zh"})
    report = analyse(job(asked, 5, apac_refuses), QUICK)
    bound = one(report, level="overall", groups=("us", "apac"))
    assert bound.call == "difference"
    assert bound.confounded_with == ("language",)
    assert bound.sentence.startswith("Region with language (us in en, apac in zh): m refused ")
    assert "cannot be told apart" in bound.caveats[0]
    assert one(report, level="overall", groups=("us", "eu")).confounded_with == ()
    assert of(report, factor="language") == []


def test_languages_crossed_with_regions_are_a_factor_of_their_own() -> None:
    def chinese_refuses(cell: Cell) -> float:
        return 0.9 if cell.language == "zh" else 0.1

    report = analyse(job(cells(languages=("en", "zh")), 3, chinese_refuses), QUICK)
    language = one(report, factor="language", level="overall")
    assert (language.groups, language.call) == (("en", "zh"), "difference")
    assert language.effect > 0.6
    assert {f.call for f in of(report, factor="region", level="overall")} <= {"undecided", "negligible"}
    assert all(f.confounded_with == () for f in of(report, factor="region"))


def test_regional_persona_is_compared_with_placebo_and_none_and_apart_from_regions() -> None:
    def told_where(cell: Cell) -> float:
        return 0.9 if cell.persona == "regional" and cell.region == "apac" else 0.1

    report = analyse(job(cells(personas=("none", "placebo", "regional")), 4, told_where), QUICK)
    found = {(f.region, f.groups) for f in of(report, factor="persona", level="overall") if f.call == "difference"}
    assert found == {("apac", ("none", "regional")), ("apac", ("placebo", "regional"))}
    plain = one(report, factor="region", level="overall", persona=None, groups=("us", "apac"))
    assert plain.call != "difference"
    prompted = one(report, factor="region", level="overall", persona="regional", groups=("us", "apac"))
    assert prompted.call == "difference"
    assert prompted.confounded_with == ("prompt",)


def test_different_routes_are_said_first_and_deny_the_region() -> None:
    hosts = {"us": "host-a", "eu": "host-a", "apac": "host-b"}
    rows = [replace(o, upstream=hosts[o.region]) for o in job(cells(), 5, apac_refuses)]
    finding = one(analyse(rows, QUICK), level="overall", groups=("us", "apac"))
    assert finding.call == "difference"
    assert finding.confounded_with == ("routes",)
    first = "Over different routes (us: host-a 60; apac: host-b 60), so not shown to be an effect of the region: "
    assert finding.sentence.startswith(first)
    assert any(caveat.startswith("Inseparable from the routes") for caveat in finding.caveats)
    assert finding.routes is not None
    assert [share.upstream for share in finding.routes[1]] == ["host-b"]
    same = one(analyse(rows, QUICK), level="overall", groups=("us", "eu"))
    assert same.confounded_with == ()


def test_unknown_hosts_are_told_once_and_are_not_called_alike() -> None:
    rows = [replace(o, upstream=None) for o in job(cells(), 2, apac_refuses)]
    report = analyse(rows, QUICK)
    assert any("No provider said which host" in limit for limit in report.limits)
    assert all("served differently" not in caveat for f in report.findings for caveat in f.caveats)
    half = [replace(o, upstream="host" if o.region == "us" else None) for o in rows]
    finding = one(analyse(half, QUICK), level="overall", groups=("us", "apac"))
    assert any("Which hosts served apac is not known" in caveat for caveat in finding.caveats)


def test_missing_answers_are_shown_and_bounded() -> None:
    rows = [
        replace(o, status="timed_out", kind="deadline_expired", label=None)
        if o.region == "apac" and o.repeat == 0 and o.question_id in {"q1", "q2", "q3"}
        else o
        for o in job(cells(), 5, apac_refuses)
    ]
    report = analyse(rows, QUICK)
    finding = one(report, level="overall", groups=("us", "apac"))
    assert finding.n == (60, 57)
    caveat = next(caveat for caveat in finding.caveats if caveat.startswith("Answers are missing"))
    assert "0 of 60 in us and 3 of 60 in apac" in caveat
    assert "the direction survives" in caveat
    assert report.data_quality["missing"] == 3
    assert report.data_quality["missing_by"] == [
        {"model": "m", "region": "apac", "reason": "deadline_expired", "count": 3}
    ]
    assert any("3 executions of 180" in notice for notice in report.notices)


def test_a_question_without_an_answer_in_one_arm_is_named() -> None:
    rows = [
        replace(o, status="failed", kind="provider_error", label=None)
        if o.region == "apac" and o.question_id == "q7"
        else o
        for o in job(cells(), 3, apac_refuses)
    ]
    finding = one(analyse(rows, QUICK), level="overall", groups=("us", "apac"))
    assert finding.clusters == 11
    assert "Left out, without an answer in one group: 1 question (q7)." in finding.caveats


def test_simulated_and_replayed_answers_are_told_above_the_findings() -> None:
    rows = [replace(o, simulated=True, replayed=o.region == "us") for o in job(cells(), 1, never)]
    notices = analyse(rows, QUICK).notices
    assert notices[0].startswith("36 executions of 36 came from simulated providers")
    assert notices[1].startswith("12 executions of 36 replay")


def test_an_answer_without_label_counts_as_missing_and_is_told() -> None:
    rows = [replace(o, label=None) if o.question_id == "q1" else o for o in job(cells(), 2, never)]
    report = analyse(rows, QUICK)
    assert report.data_quality["unclassified"] == 6
    assert any("6 answers not classified" in notice for notice in report.notices)


def errors(language: str, *, found: float, alarms: float) -> MeasuredErrors:
    """Of 100 answers of each class: how many refusals are found, and how many others are taken for one."""
    kept = {"refusal": 100 * found, "evasive": 0.0, "substantive": 100 * (1 - found)}
    other = {"refusal": 100 * alarms, "evasive": 0.0, "substantive": 100 * (1 - alarms)}
    confusion: dict[TextLabel, dict[TextLabel, float]] = {"refusal": kept, "evasive": other, "substantive": other}  # type: ignore[dict-item]
    return MeasuredErrors(language, 300, 0.8, 0.02, confusion)


def test_errors_of_the_labeller_stand_beside_what_rests_on_it() -> None:
    measured = {"en": errors("en", found=0.9, alarms=0.02), "zh": errors("zh", found=0.6, alarms=0.1)}
    asked = job(cells(languages={"us": "en", "eu": "en", "apac": "zh-Hans"}), 4, never)
    rows = [replace(o, label="refusal") if o.repeat % 2 else o for o in asked]
    report = analyse(rows, replace(QUICK, labels=LabelQuality("the classifier", measured)))
    (told,) = [c for c in one(report, level="overall", groups=("us", "apac")).caveats if c.startswith("Labels by")]
    assert "it finds in en (us) 90% with 2% false alarms and in zh-Hans (apac) 60% with 10% false alarms" in told
    assert "that alone would make about 11 points of equal rates" in told
    (same,) = [c for c in one(report, level="overall", groups=("us", "eu")).caveats if c.startswith("Labels by")]
    assert "that alone" not in same
    assert analyse(rows, replace(QUICK, labels=LabelQuality("people"))).findings[0].caveats != ()


def test_unmeasured_languages_have_no_figure_made_up() -> None:
    rows = job(cells(), 2, apac_refuses)
    report = analyse(
        rows, replace(QUICK, labels=LabelQuality("the classifier", {"fi": errors("fi", found=1, alarms=0)}))
    )
    assert not [c for f in report.findings for c in f.caveats if c.startswith("Labels by")]


def test_negligible_needs_the_whole_interval() -> None:
    few = one(analyse(job(cells(), 2, never), QUICK), level="overall", groups=("us", "eu"))
    many = one(analyse(job(cells(), 9, never), QUICK), level="overall", groups=("us", "eu"))
    assert few.call == "undecided"
    assert many.call == "negligible"


def test_calls_never_contradict_their_intervals(scripted: list[Observation]) -> None:
    for finding in analyse(scripted, QUICK).findings:
        assert finding.interval is not None
        low, high = finding.interval
        if finding.call == "difference":
            assert not low <= 0 <= high
        if finding.call == "negligible":
            assert -0.05 <= low <= high <= 0.05


def test_telling_pairs_show_the_difference(scripted: list[Observation]) -> None:
    by_id = {o.execution_id: o for o in scripted}
    finding = one(analyse(scripted, QUICK), level="overall", model="m", factor="region", groups=("us", "apac"))
    assert len(finding.telling) == 3
    for pair in finding.telling:
        us, apac = (by_id[execution] for execution in pair.executions)
        assert (us.region, apac.region) == ("us", "apac")
        assert (us.label, apac.label) == ("substantive", "refusal")


def test_an_execution_that_stands_twice_is_refused(scripted: list[Observation]) -> None:
    with pytest.raises(InputError, match="stands twice"):
        analyse([*scripted, scripted[0]], QUICK)


def test_nothing_recorded_gives_an_empty_report() -> None:
    report = analyse([], QUICK)
    assert report.findings == ()
    assert report.summary == "No comparison of regions could be tested."
    json.dumps(report.to_document(), allow_nan=False)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(anything())
def test_any_job_has_a_report_that_is_plain_json(rows: list[Observation]) -> None:
    document = analyse(rows, AnalysisSettings(draws=99)).to_document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["data_quality"]["executions"] == len(rows)
