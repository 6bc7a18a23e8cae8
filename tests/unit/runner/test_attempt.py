"""What is recorded of an execution that ends between two attempts."""

from __future__ import annotations

from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.domain.states import ExecutionStatus
from beacon.runner import attempt
from beacon.runner.work import ShardUnderWay, Work
from beacon.store.executions import OpenExecution
from beacon.store.leases import Shard


def test_it_keeps_the_name_of_its_last_provider() -> None:
    """It was pending when it was read, and has been sent since: a retry must know whom to ask for the answer."""
    read = OpenExecution(
        id="job-000000", shard=0, question_id="q0", model="alpha", region="eu", persona="none", language="en", repeat=0,
        status=ExecutionStatus.PENDING, attempts=0, counted=0, provider=None, queued_at=1.0, deadline_at=None,
    )  # fmt: skip
    work = Work(read, ShardUnderWay(Shard("job", 0, "eu", 1, 1)), attempts=1, counted=1, provider="eu-a")
    ended = attempt.end_unsent(work, attempt.stopped(FailureKind.CANCELLED), SystemClock())
    assert ended.provider == "eu-a"
    assert ended.status is ExecutionStatus.CANCELLED
