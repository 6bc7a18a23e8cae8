"""What follows from an attempt: completed, another attempt after a pause, or the end with a sentence."""

from __future__ import annotations

import pytest

from beacon.domain.answer import Answer
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.spec import Limits
from beacon.domain.states import ExecutionStatus
from beacon.runner.policy import Conclusion, conclude, expired_without_budget, may_be_retried, pause_before

E = ExecutionStatus


def failure(kind: FailureKind = FailureKind.PROVIDER_ERROR, **fields) -> Failure:
    return Failure(kind, Stage.INFERENCE, "eu-a answered HTTP 500.", **{"retryable": True, **fields})


def concluded(outcome: Answer | Failure, **fields) -> Conclusion:
    given = {"attempts": 1, "counted": 1, "left_s": 100.0, "limits": Limits(max_attempts=3), "jitter": 0.5, **fields}
    return conclude(outcome, **given)


def test_an_answer_completes_whatever_came_before() -> None:
    answer = Answer.__new__(Answer)
    assert concluded(answer, attempts=9, counted=9, left_s=0.0) == Conclusion(E.COMPLETED, None, 0.0)


def test_a_failure_with_attempts_and_time_left_is_retried_after_the_pause() -> None:
    assert concluded(failure()) == Conclusion(E.RETRYING, "eu-a answered HTTP 500.", 0.5)


@pytest.mark.parametrize(("counted", "status"), [(1, E.RETRYING), (2, E.RETRYING), (3, E.FAILED), (4, E.FAILED)])
def test_attempts_that_count_are_limited(counted: int, status: ExecutionStatus) -> None:
    assert concluded(failure(), attempts=7, counted=counted).status is status


def test_attempts_that_do_not_count_are_not_limited() -> None:
    assert concluded(failure(), attempts=50, counted=0).status is E.RETRYING


def test_the_end_names_the_attempts_and_the_last_failure() -> None:
    last = "All 4 attempts failed, the last so: eu-a answered HTTP 500."
    assert concluded(failure(), attempts=4, counted=3) == Conclusion(E.FAILED, last, 0.0)
    alone = concluded(failure(), attempts=1, counted=1, limits=Limits(max_attempts=1))
    assert alone == Conclusion(E.FAILED, "eu-a answered HTTP 500.", 0.0)


def test_what_cannot_be_retried_ends_at_once_in_the_status_of_its_kind() -> None:
    assert concluded(failure(retryable=False)) == Conclusion(E.FAILED, "eu-a answered HTTP 500.", 0.0)
    expired = failure(FailureKind.DEADLINE_EXPIRED, retryable=False)
    assert concluded(expired).status is E.TIMED_OUT
    assert concluded(failure(FailureKind.CANCELLED, retryable=False)).status is E.CANCELLED


@pytest.mark.parametrize("kind", [FailureKind.OUTCOME_UNKNOWN, FailureKind.RESULT_LOST])
@pytest.mark.parametrize("retryable", [True, False])
def test_what_nobody_knows_follows_the_job(kind: FailureKind, retryable: bool) -> None:
    unknown = failure(kind, retryable=retryable)
    assert may_be_retried(unknown, Limits(on_unknown="retry"))
    assert not may_be_retried(unknown, Limits(on_unknown="fail"))


@pytest.mark.parametrize("on_unknown", ["retry", "fail"])
def test_any_other_failure_says_itself_whether_it_may_be_retried(on_unknown: str) -> None:
    limits = Limits(on_unknown=on_unknown)
    assert may_be_retried(failure(), limits)
    assert not may_be_retried(failure(retryable=False), limits)


def test_a_pause_that_the_deadline_does_not_allow_ends_it_and_says_so() -> None:
    said = (
        "eu-a answered HTTP 500. No further attempt after 2 attempts: the next pause of 1.0 s is longer than "
        "the 0.9 s that were left of the execution's deadline."
    )
    assert concluded(failure(), attempts=2, counted=2, left_s=0.9) == Conclusion(E.FAILED, said, 0.0)
    assert "after 1 attempt:" in (concluded(failure(), left_s=0.4).message or "")


def test_a_pause_as_long_as_what_is_left_is_too_long() -> None:
    assert concluded(failure(), left_s=0.5).status is E.FAILED
    assert concluded(failure(), left_s=0.51).status is E.RETRYING


@pytest.mark.parametrize(
    ("attempts", "pause"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (8, 30.0), (60, 30.0)]
)
def test_pauses_double_up_to_the_longest(attempts: int, pause: float) -> None:
    assert pause_before(attempts, None, 0.5) == pause


def test_jitter_spreads_a_pause_by_half_in_both_directions() -> None:
    assert pause_before(2, None, 0.0) == 0.5
    assert pause_before(2, None, 1.0) == 1.5


@pytest.mark.parametrize(
    ("asked", "jitter", "pause"), [(7.0, 0.0, 7.0), (7.0, 1.0, 7.25), (0.0, 1.0, 0.25), (90.0, 0.4, 90.1)]
)
def test_a_pause_that_the_provider_asked_for_is_kept_and_spread_a_little(
    asked: float, jitter: float, pause: float
) -> None:
    assert pause_before(5, asked, jitter) == pytest.approx(pause)


def test_who_waited_for_the_retry_budget_until_the_deadline_is_told_how_long() -> None:
    said = (
        "The execution's deadline passed after its retry had waited 500.4 s for the retry budget: too much of what its "
        "model and region are asked fails to ask for all of it again. The last attempt: eu-a answered HTTP 500."
    )
    ended = expired_without_budget("eu-a answered HTTP 500.", 500_400.0)
    assert ended == Failure(FailureKind.DEADLINE_EXPIRED, Stage.QUEUE, said, retryable=False)


def test_a_retry_needs_the_budget_unless_the_attempt_does_not_count() -> None:
    assert concluded(failure()).budgeted
    assert not concluded(failure(counts=False), counted=0).budgeted
