"""The eight measures that Beacon promises to hold, computed from a history of jobs.

Percentiles are nearest-rank: a value that occurred. What nothing was measured for is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from beacon.domain.states import JobStatus, Verdict

SIZES = (100, 1_000, 10_000)
"""Jobs of at most so many executions are told together; larger ones stand last."""
DAY_S = 86_400
"""The width of one point of a trend."""
MOST_MISSES = 5


@dataclass(frozen=True, slots=True)
class PastJob:
    """A job that is over. `took_s` is from submission, or from the start of its last round, to its seal; `gap_s` from
    its last answer to its seal; `durations_ms` are of its completed executions, in any order."""

    id: str
    name: str
    status: JobStatus
    verdict: Verdict | None
    completed: int
    failed: int
    timed_out: int
    total: int
    ended_at: float
    took_s: float | None
    gap_s: float | None
    durations_ms: Sequence[float] = ()

    @property
    def asked(self) -> int:
        """Executions with an outcome, without the cancelled ones."""
        return self.completed + self.failed + self.timed_out


@dataclass(frozen=True, slots=True)
class History:
    """`loads_ms` and `samples` are (moment, value) as browsers reported them; a sample is whether it was right."""

    jobs: tuple[PastJob, ...]
    loads_ms: tuple[tuple[float, float], ...] = ()
    samples: tuple[tuple[float, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Miss:
    """A job that does not keep the promise by itself."""

    job_id: str
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Kpi:
    """`unit` is `share` or `s`; `at_least` says on which side of `target` the promise is kept. `of` counts what the
    value was made from, `trend` has a value for each day that has one."""

    name: str
    says: str
    unit: str
    target: float
    at_least: bool
    value: float | None
    of: int
    trend: tuple[tuple[int, float], ...] = ()
    by_size: tuple[tuple[str, float, int], ...] = ()
    misses: tuple[Miss, ...] = ()

    @property
    def met(self) -> bool | None:
        return None if self.value is None else keeps(self.value, self.target, self.at_least)


def keeps(value: float, target: float, at_least: bool) -> bool:
    return value >= target if at_least else value < target


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def kpis(history: History) -> list[Kpi]:
    """All eight, in the order in which they were promised."""
    jobs = history.jobs
    judged = tuple(job for job in jobs if job.status is not JobStatus.CANCELLED)
    loads_s = [(at, ms / 1000) for at, ms in history.loads_ms]
    return [
        _over(judged, "Job success", "met their criteria, of all that ended", "share", 0.95, True, _job_success),
        _over(jobs, "Execution success", "completed, of all that were not cancelled", "share", 0.90, True, _completed),
        _over(jobs, "Time-out rate", "timed out, of all that were not cancelled", "share", 0.05, False, _timed_out),
        _sized(judged, "Job completion", "submitted to sealed, p95", 300.0, _took),
        _sized(jobs, "Execution duration", "request sent to answered, p95", 120.0, _durations),
        _over(judged, "Barrier gap", "last answer to sealed, p99", "s", 5.0, False, _gap),
        _reported(
            "Portal load",
            "measured in browsers, p95",
            "s",
            2.0,
            False,
            loads_s,
        ),
        _reported("Live progress accuracy", "browsers show what is stored", "share", 1.0, True, history.samples),
    ]


_Value = tuple[float | None, int]
"""A value, and how many things it was made from."""
_Of = Callable[[Sequence[PastJob]], _Value]


def _share(part: int, whole: int) -> _Value:
    return (part / whole if whole else None), whole


def _job_success(jobs: Sequence[PastJob]) -> _Value:
    return _share(sum(job.verdict is Verdict.MET for job in jobs), len(jobs))


def _completed(jobs: Sequence[PastJob]) -> _Value:
    return _share(sum(job.completed for job in jobs), sum(job.asked for job in jobs))


def _timed_out(jobs: Sequence[PastJob]) -> _Value:
    return _share(sum(job.timed_out for job in jobs), sum(job.asked for job in jobs))


def _took(jobs: Sequence[PastJob]) -> _Value:
    values = [job.took_s for job in jobs if job.took_s is not None]
    return percentile(values, 0.95), len(values)


def _durations(jobs: Sequence[PastJob]) -> _Value:
    values = [ms / 1000 for job in jobs for ms in job.durations_ms]
    return percentile(values, 0.95), len(values)


def _gap(jobs: Sequence[PastJob]) -> _Value:
    values = [job.gap_s for job in jobs if job.gap_s is not None]
    return percentile(values, 0.99), len(values)


def _over(jobs: Sequence[PastJob], name: str, says: str, unit: str, target: float, at_least: bool, of: _Of) -> Kpi:
    value, count = of(jobs)
    return Kpi(
        name, says, unit, target, at_least, value, count, _trend(jobs, of), (), _misses(jobs, of, target, at_least)
    )


def _sized(jobs: Sequence[PastJob], name: str, says: str, target: float, of: _Of) -> Kpi:
    value, count = of(jobs)
    sized = []
    for low, high in zip((0, *SIZES), (*SIZES, math.inf), strict=True):
        part, made_of = of([job for job in jobs if low < job.total <= high])
        if part is not None:
            sized.append((f"up to {high:,.0f}" if high < math.inf else f"over {low:,}", part, made_of))
    misses = _misses(jobs, of, target, at_least=False)
    return Kpi(name, says, "s", target, False, value, count, _trend(jobs, of), tuple(sized), misses)


def _trend(jobs: Sequence[PastJob], of: _Of) -> tuple[tuple[int, float], ...]:
    days: dict[int, list[PastJob]] = {}
    for job in jobs:
        days.setdefault(int(job.ended_at // DAY_S), []).append(job)
    told = ((day, of(some)[0]) for day, some in sorted(days.items()))
    return tuple((day, value) for day, value in told if value is not None)


def _misses(jobs: Sequence[PastJob], of: _Of, target: float, at_least: bool) -> tuple[Miss, ...]:
    """The jobs that miss it by most."""
    alone = [(job, of([job])[0]) for job in jobs]
    missing = [Miss(job.id, job.name, v) for job, v in alone if v is not None and not keeps(v, target, at_least)]
    missing.sort(key=lambda miss: miss.value, reverse=not at_least)
    return tuple(missing[:MOST_MISSES])


def _reported(
    name: str, says: str, unit: str, target: float, at_least: bool, values: Sequence[tuple[float, float | bool]]
) -> Kpi:
    """What browsers told: a share where each value is right or wrong, else the 95th percentile."""

    def of(some: Sequence[float | bool]) -> float | None:
        return (sum(some) / len(some) if some else None) if unit == "share" else percentile(some, 0.95)

    days: dict[int, list[float | bool]] = {}
    for at, value in values:
        days.setdefault(int(at // DAY_S), []).append(value)
    trend = tuple((day, of(some) or 0.0) for day, some in sorted(days.items()))
    return Kpi(name, says, unit, target, at_least, of([value for _, value in values]), len(values), trend)
