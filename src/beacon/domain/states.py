"""States of jobs and executions, and the only moves between them (DESIGN section 3)."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ExecutionStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    MET = "met"
    UNMET = "unmet"


JOB_OVER = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
TERMINAL = frozenset(
    {
        ExecutionStatus.COMPLETED,
        ExecutionStatus.FAILED,
        ExecutionStatus.TIMED_OUT,
        ExecutionStatus.CANCELLED,
    }
)
OPEN = frozenset(ExecutionStatus) - TERMINAL
UNSUCCESSFUL = TERMINAL - {ExecutionStatus.COMPLETED}

JOB_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING}),
    JobStatus.RUNNING: frozenset({JobStatus.FINALIZING}),
    JobStatus.FINALIZING: JOB_OVER,
    JobStatus.COMPLETED: frozenset({JobStatus.RUNNING}),
    JobStatus.FAILED: frozenset({JobStatus.RUNNING, JobStatus.FINALIZING}),
    JobStatus.CANCELLED: frozenset({JobStatus.RUNNING}),
}

EXECUTION_MOVES: dict[ExecutionStatus, frozenset[ExecutionStatus]] = {
    ExecutionStatus.PENDING: frozenset({ExecutionStatus.RUNNING}) | UNSUCCESSFUL,
    ExecutionStatus.RUNNING: frozenset({ExecutionStatus.RETRYING}) | TERMINAL,
    ExecutionStatus.RETRYING: frozenset({ExecutionStatus.RUNNING}) | UNSUCCESSFUL,
    ExecutionStatus.COMPLETED: frozenset(),
    ExecutionStatus.FAILED: frozenset({ExecutionStatus.RETRYING}),
    ExecutionStatus.TIMED_OUT: frozenset({ExecutionStatus.RETRYING}),
    ExecutionStatus.CANCELLED: frozenset({ExecutionStatus.RETRYING}),
}


def may_move(before: ExecutionStatus, after: ExecutionStatus) -> bool:
    return after in EXECUTION_MOVES[before]
