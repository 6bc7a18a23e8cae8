"""What is recorded of an execution that ends without a further attempt."""

from __future__ import annotations

import pytest

from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.domain.states import ExecutionStatus
from beacon.runner import attempt
from beacon.runner.work import ShardUnderWay, Work
from beacon.store.executions import OpenExecution
from beacon.store.leases import Shard


@pytest.mark.parametrize("attempts", [0, 2])
def test_who_ends_an_execution_says_which_attempt_is_the_newest_that_it_knows(attempts: int) -> None:
    """The store refuses the end where another runner has sent a newer one."""
    asked = ("q0", "alpha", "us", "neutral", "en", 0)
    execution = OpenExecution("e", 0, *asked, ExecutionStatus.RETRYING, attempts, attempts, "us-a", 1.0, None)
    work = Work(execution, ShardUnderWay(Shard("j", 0, "us", 1, 1)), attempts, attempts)
    ended = attempt.end_unsent(work, attempt.stopped(FailureKind.CANCELLED), SystemClock())
    assert (ended.attempt_id, ended.number) == (None, attempts)
