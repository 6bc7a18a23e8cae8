"""What speaks against a difference: each is planted in a job and must be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from math import comb
from random import Random

import pytest

from beacon.analysis.finding import Finding
from beacon.analysis.observation import Cell, Observation
from beacon.analysis.report import analyse
from beacon.analysis.routes import stratified_p
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.timing import duration
from tests.unit.analysis.invented import cells, job

SETTINGS = AnalysisSettings(draws=499, levels={"region": ("us", "apac")})
PLACE = {cell: number for number, cell in enumerate(cells(regions=("us",), questions=20))}


def started(o: Observation, *, lag: float = 0.0, pace: float = 1.0) -> Observation:
    """Blocks of 200 s, one a repeat, every cell 10 s after the one before, in the same order in all regions."""
    order = PLACE[o.cell._replace(region="us")]
    jitter = Random(o.execution_id).uniform(0, 5)
    return replace(o, started_at=1e6 + pace * (200 * o.repeat + 10 * order) + lag + jitter)


def finding(rows: list[Observation], measure: str = "refusal_rate") -> Finding:
    report = analyse(rows, SETTINGS)
    (found,) = [f for f in report.findings if f.measure == measure and f.level == "overall" and f.factor == "region"]
    return found


def asked(repeats: int = 5, questions: int = 20) -> list[Observation]:
    return job(cells(regions=("us", "apac"), questions=questions), repeats, apac_more)


def apac_more(cell: Cell) -> float:
    return 0.6 if cell.region == "apac" else 0.2


def caveats(rows: list[Observation], start: str) -> list[str]:
    return [caveat for caveat in finding(rows).caveats if caveat.startswith(start)]


Change = Callable[[Observation], Observation]


@pytest.mark.parametrize(
    ("late", "told"),
    [
        (lambda o: started(o), False),
        (lambda o: started(o, lag=60.0 if o.region == "apac" else 0.0), True),
        (lambda o: started(o, pace=1.5 if o.region == "apac" else 1.0), True),
        (lambda o: started(o, lag=1000.0 if o.region == "apac" else 0.0), True),
        (lambda o: replace(o, started_at=None), False),
    ],
    ids=["together", "a minute late", "slower", "one after the other", "unknown"],
)
def test_start_times_are_told_by_size(late: Change, told: bool) -> None:
    assert bool(caveats([late(o) for o in asked()], "apac was asked")) is told


def test_a_difference_within_hosts_holds() -> None:
    rows = [replace(o, upstream=f"host-{(o.repeat + PLACE[o.cell._replace(region='us')]) % 2}") for o in asked()]
    found = finding(rows)
    assert found.confounded_with == ()
    assert found.checks["within_upstreams"]["holds"] is True
    assert any("Among answers of the same upstream host the difference holds" in c for c in found.caveats)


def test_a_difference_between_hosts_does_not_hold_within_them() -> None:
    """Host b refuses, host a does not; apac is served by b four times out of five, us once."""
    rows = []
    for o in asked():
        by_b = (o.repeat == 0) == (o.region == "us")
        refuses = Random(o.execution_id).random() < (0.6 if by_b else 0.15)
        rows.append(replace(o, upstream="b" if by_b else "a", label="refusal" if refuses else "substantive"))
    found = finding(rows)
    assert found.call == "difference"
    assert found.confounded_with == ("routes",)
    assert found.checks["within_upstreams"]["inseparable"] is False
    assert found.checks["within_upstreams"]["holds"] is False
    assert any("is not shown" in caveat for caveat in found.caveats)


def test_another_model_name_is_another_route() -> None:
    rows = [replace(o, model_echoed="m-q4" if o.region == "apac" else "m") for o in asked()]
    found = finding(rows)
    assert found.confounded_with == ("routes",)
    assert any("the model that they name" in caveat for caveat in found.caveats)


def test_mixes_that_differ_behind_the_same_main_host_are_seen() -> None:
    def upstream(o: Observation) -> str:
        return "main" if o.repeat < 3 else ("small" if o.region == "us" else "other")

    found = finding([replace(o, upstream=upstream(o)) for o in asked()])
    assert found.confounded_with == ("routes",)


def test_one_repeat_that_stands_out_is_named_counted_from_one_and_the_call_rests_on_it() -> None:
    rows = [
        replace(o, label="refusal") if o.region == "apac" and o.repeat == 2 else replace(o, label="substantive")
        for o in asked()
    ]
    found = finding(rows)
    assert found.call == "difference"
    assert any(c.startswith("Repeat 3 in apac stands out") for c in found.caveats)
    assert any(c.startswith("The call rests on repeat 3") for c in found.caveats)


def test_even_repeats_do_not_stand_out() -> None:
    found = finding(asked())
    assert found.checks["repeats_that_stand_out"] == []
    assert found.checks["rests_on_repeats"] == []


def test_drift_with_different_start_times_is_told() -> None:
    """The class comes late in the run, and apac is asked later."""
    rows = []
    for o in asked(repeats=8):
        late = started(o, lag=600.0 if o.region == "apac" else 0.0)
        assert late.started_at is not None
        chance = (late.started_at - 1e6) / 2400
        rows.append(replace(late, label="refusal" if Random(o.execution_id).random() < chance else "substantive"))
    assert any("drifted over the run" in caveat for caveat in finding(rows).caveats)


def test_uneven_missing_answers_are_told() -> None:
    rows = [
        replace(o, status="failed", kind="rate_limited", label=None) if o.region == "apac" and o.repeat < 2 else o
        for o in asked()
    ]
    (caveat,) = caveats(rows, "Answers are missing")
    assert analyse(rows, SETTINGS).data_quality["common_failures"] == []
    assert "unevenly" in caveat
    assert "the direction" in caveat


def test_a_failure_of_all_arms_alike_is_no_uneven_one() -> None:
    rows = [replace(o, status="failed", kind="rate_limited", label=None) if o.repeat < 2 else o for o in asked()]
    (caveat,) = caveats(rows, "Answers are missing")
    assert "unevenly" not in caveat
    report = analyse(rows, SETTINGS)
    assert report.data_quality["common_failures"] == [
        {"model": "m", "reason": "rate_limited", "missing": {"apac": 40, "us": 40}}
    ]
    assert "In every region executions of m ended as rate_limited: 40 in apac and 40 in us." in report.notices


def test_stratified_test_is_exact_and_meets_its_approximation() -> None:
    chances: Counter[int] = Counter()
    for first, second in product(range(1, 11), range(9)):
        ways = comb(10, first) * comb(10, 11 - first) * comb(9, second) * comb(12, 8 - second)
        chances[first + second] += ways
    listed = sum(ways for ways in chances.values() if ways <= chances[8 + 6]) / chances.total()
    assert stratified_p([(3, 10, 8, 10), (2, 12, 6, 9)]) == pytest.approx(listed, rel=1e-9)
    assert stratified_p([(0, 5, 0, 5)]) == 1.0
    large = [(300, 900, 360, 900)]
    assert stratified_p(large) == pytest.approx(0.0035, abs=0.001)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(46 * 86_400, "46 days"), (-7 * 3_600, "7 hours"), (60, "1 minute"), (45, "45 seconds")],
)
def test_lags_are_told_in_their_own_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_cold_start_that_made_the_lag_is_named() -> None:
    def late(o: Observation, waited_s: float) -> Observation:
        cold = o.region == "apac" and o.repeat == 0 and o.question_id == "q0"
        return replace(started(o, lag=360.0 if o.region == "apac" else 0.0), cold_start_s=waited_s if cold else 0.0)

    (told,) = caveats([late(o, 340.0) for o in asked()], "apac was asked")
    assert "after a cold start of apac-a of 6 minutes: a change over time" in told
    (told,) = caveats([late(o, 20.0) for o in asked()], "apac was asked")
    assert "cold start" not in told
