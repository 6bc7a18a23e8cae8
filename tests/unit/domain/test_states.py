"""States move along the diagrams and no other way."""

import pytest

from beacon.domain.failure import FailureKind, terminal_status
from beacon.domain.states import (
    EXECUTION_MOVES,
    JOB_MOVES,
    JOB_OVER,
    OPEN,
    TERMINAL,
    UNSUCCESSFUL,
    ExecutionStatus,
    JobStatus,
    may_move,
)

E = ExecutionStatus
J = JobStatus

EXECUTION_DIAGRAM = {
    (E.PENDING, E.RUNNING),
    (E.RUNNING, E.COMPLETED),
    (E.RUNNING, E.RETRYING),
    (E.RETRYING, E.RUNNING),
    *(
        (before, after)
        for before in (E.PENDING, E.RUNNING, E.RETRYING)
        for after in (E.FAILED, E.TIMED_OUT, E.CANCELLED)
    ),
    *((before, E.RETRYING) for before in (E.FAILED, E.TIMED_OUT, E.CANCELLED)),
}

JOB_DIAGRAM = {
    (J.QUEUED, J.RUNNING),
    (J.RUNNING, J.FINALIZING),
    *((J.FINALIZING, over) for over in (J.COMPLETED, J.FAILED, J.CANCELLED)),
    (J.FAILED, J.FINALIZING),
    *((over, J.RUNNING) for over in (J.COMPLETED, J.FAILED, J.CANCELLED)),
}


def test_executions_move_as_the_diagram_says() -> None:
    moves = {(before, after) for before in E for after in E if may_move(before, after)}
    assert moves == EXECUTION_DIAGRAM
    assert set(EXECUTION_MOVES) == set(E)


def test_jobs_move_as_the_diagram_says() -> None:
    assert {(before, after) for before, afters in JOB_MOVES.items() for after in afters} == JOB_DIAGRAM
    assert set(JOB_MOVES) == set(J)


def test_a_completed_execution_is_never_taken_back() -> None:
    assert not any(may_move(E.COMPLETED, after) for after in E)


def test_what_is_over_and_what_is_open_add_up() -> None:
    assert {E.PENDING, E.RUNNING, E.RETRYING} == OPEN
    assert {E.COMPLETED} == TERMINAL - UNSUCCESSFUL
    assert set(E) == TERMINAL | OPEN
    assert {J.COMPLETED, J.FAILED, J.CANCELLED} == JOB_OVER


@pytest.mark.parametrize("kind", list(FailureKind))
def test_each_failure_ends_in_the_status_of_the_contract(kind: FailureKind) -> None:
    timed_out = {"deadline_expired", "cold_start_expired"}
    cancelled = {"job_deadline", "cost_ceiling", "straggler", "cancelled"}
    expected = E.TIMED_OUT if kind in timed_out else E.CANCELLED if kind in cancelled else E.FAILED
    assert terminal_status(kind) == expected
    assert may_move(E.RUNNING, terminal_status(kind))
