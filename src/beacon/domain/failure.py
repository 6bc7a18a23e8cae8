"""Why an attempt or an execution failed: kind, stage, and a sentence for a person."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from beacon.domain.states import ExecutionStatus


class Stage(StrEnum):
    """Where on its way an execution's time goes, in the order of the way."""

    QUEUE = "queue"
    ROUTE = "route"
    CONNECT = "connect"
    COLD_START = "cold_start"
    INFERENCE = "inference"
    FETCH = "fetch"
    PERSIST = "persist"


class FailureKind(StrEnum):
    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    PROTOCOL_ERROR = "protocol_error"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REFUSED_CONNECTION = "refused_connection"
    RESULT_LOST = "result_lost"
    DEADLINE_EXPIRED = "deadline_expired"
    COLD_START_EXPIRED = "cold_start_expired"
    REGION_MISMATCH = "region_mismatch"
    MODEL_MISMATCH = "model_mismatch"
    JOB_DEADLINE = "job_deadline"
    COST_CEILING = "cost_ceiling"
    STRAGGLER = "straggler"
    CANCELLED = "cancelled"


_STATUS: dict[FailureKind, ExecutionStatus] = {
    FailureKind.DEADLINE_EXPIRED: ExecutionStatus.TIMED_OUT,
    FailureKind.COLD_START_EXPIRED: ExecutionStatus.TIMED_OUT,
    FailureKind.JOB_DEADLINE: ExecutionStatus.CANCELLED,
    FailureKind.COST_CEILING: ExecutionStatus.CANCELLED,
    FailureKind.STRAGGLER: ExecutionStatus.CANCELLED,
    FailureKind.CANCELLED: ExecutionStatus.CANCELLED,
}


def terminal_status(kind: FailureKind) -> ExecutionStatus:
    """The status of an execution that ends with this kind of failure."""
    return _STATUS.get(kind, ExecutionStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt failed.

    `message` says what happened, where the time went and what to do. `retryable` tells whether a further
    attempt may help; whether one is made is the runner's decision. `retry_after_s` is what the provider asked
    for. `stages_ms` are milliseconds per stage. `counts` is false for attempts that do not count towards
    `max_attempts` (a 503 while cold).
    """

    kind: FailureKind
    stage: Stage
    message: str
    retryable: bool
    http_status: int | None = None
    retry_after_s: float | None = None
    other_provider_only: bool = False
    counts: bool = True
    stages_ms: dict[str, float] = field(default_factory=dict)
