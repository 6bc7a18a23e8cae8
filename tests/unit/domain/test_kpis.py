"""The eight measures against a history whose values were worked out by hand."""

from __future__ import annotations

import pytest

from beacon.domain.kpis import DAY_S, History, PastJob, kpis, percentile
from beacon.domain.states import JobStatus, Verdict

DONE, FAILED, CANCELLED = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
MET, UNMET = Verdict.MET, Verdict.UNMET


def past(name, status, verdict, counts, day, took_s, gap_s, durations_ms=()) -> PastJob:
    completed, failed, timed_out = counts
    total = sum(counts)
    return PastJob(
        name, name, status, verdict, completed, failed, timed_out, total, day * DAY_S + 1, took_s, gap_s, durations_ms
    )


HISTORY = History(
    jobs=(
        past("a", DONE, MET, (90, 5, 5), 1, 100.0, 0.5, [1_000.0] * 90),
        past("b", DONE, MET, (200, 0, 0), 1, 200.0, 1.0, [2_000.0] * 200),
        past("c", DONE, UNMET, (50, 20, 30), 2, 400.0, 6.0, [130_000.0] * 50),
        past("d", FAILED, None, (100, 0, 0), 2, None, None, [3_000.0] * 100),
        past("e", CANCELLED, UNMET, (10, 0, 0), 2, 5.0, 0.1, [500.0] * 10),
    ),
    loads_ms=((DAY_S * 1.5, 300.0), (DAY_S * 1.6, 500.0), (DAY_S * 2.5, 2_500.0)),
    samples=((DAY_S * 1.5, True), (DAY_S * 1.5, True), (DAY_S * 2.5, True), (DAY_S * 2.5, False)),
)

BY_HAND = {
    # name: (value, made of, kept, by day, jobs that miss it, by most first)
    "Job success": (2 / 4, 4, False, [1.0, 0.0], ["c", "d"]),  # a, b of a, b, c, d: the cancelled one is left out
    "Execution success": (450 / 510, 510, False, [290 / 300, 160 / 210], ["c"]),
    "Time-out rate": (35 / 510, 510, False, [5 / 300, 30 / 210], ["c", "a"]),  # 5% is not below 5%
    "Job completion": (400.0, 3, False, [200.0, 400.0], ["c"]),  # rank 3 of 100, 200, 400
    "Execution duration": (130.0, 450, False, [2.0, 130.0], ["c"]),  # rank 428 of 450: the last 50 took 130 s
    "Barrier gap": (6.0, 3, False, [1.0, 6.0], ["c"]),
    "Portal load": (2.5, 3, False, [0.5, 2.5], []),
    "Live progress accuracy": (3 / 4, 4, False, [1.0, 0.5], []),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_each_measure_is_what_is_worked_out_by_hand(name):
    kpi = next(kpi for kpi in kpis(HISTORY) if kpi.name == name)
    value, of, met, trend, misses = BY_HAND[name]
    assert kpi.value == pytest.approx(value)
    assert (kpi.of, kpi.met) == (of, met)
    assert [day for day, _ in kpi.trend] == [1, 2]
    assert [value for _, value in kpi.trend] == pytest.approx(trend)
    assert [miss.job_id for miss in kpi.misses] == misses


def test_what_depends_on_the_size_is_told_by_size():
    completion = next(kpi for kpi in kpis(HISTORY) if kpi.name == "Job completion")
    assert completion.by_size == (("up to 100", 400.0, 2), ("up to 1,000", 200.0, 1))


def test_of_nothing_nothing_is_known():
    assert [kpi.value for kpi in kpis(History(()))] == [None] * 8
    assert [kpi.met for kpi in kpis(History(()))] == [None] * 8


def test_targets_are_those_that_were_promised():
    promised = {kpi.name: (kpi.target, kpi.at_least) for kpi in kpis(History(()))}
    assert promised == {
        "Job success": (0.95, True),
        "Execution success": (0.9, True),
        "Time-out rate": (0.05, False),
        "Job completion": (300, False),
        "Execution duration": (120, False),
        "Barrier gap": (5, False),
        "Portal load": (2, False),
        "Live progress accuracy": (1, True),
    }


def test_a_percentile_is_a_value_that_occurred():
    assert percentile([5, 1, 4, 2, 3], 0.5) == 3
    assert percentile(range(1, 101), 0.95) == 95
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) is None
