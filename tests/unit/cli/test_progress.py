"""Lines of progress read as sentences, whatever they tell of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from beacon.cli.progress import Moment, failure_line, plain_line
from beacon.domain.states import JobStatus
from beacon.store.executions import FailureGroup, Tally


def moment(status: JobStatus, tallies: list[Tally]) -> Moment:
    job: Any = SimpleNamespace(status=status, started_at=None, done=5_000, total=5_400)
    return Moment(job, tallies, [])


def failures(status: str, kind: str) -> FailureGroup:
    return FailureGroup(status, kind, "queue", None, "alpha", "us", 1_489, "It was so.")


def test_a_kind_that_is_the_status_is_said_once() -> None:
    assert failure_line(failures("cancelled", "cancelled")).plain == "1,489 cancelled at us, alpha: It was so."
    assert failure_line(failures("cancelled", "straggler")).plain.startswith("1,489 cancelled straggler at us")


def test_a_job_without_executions_yet_ends_in_no_semicolon() -> None:
    assert plain_line(moment(JobStatus.QUEUED, [])) == "queued"


def test_numbers_are_written_alike_on_one_line() -> None:
    told = plain_line(moment(JobStatus.RUNNING, [Tally("us", "alpha", {"completed": 5_000, "pending": 400})]))
    assert told == "running, 5,000 of 5,400; us 5,000/5,400"
