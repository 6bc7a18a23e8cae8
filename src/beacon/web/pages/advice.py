"""What a person can do about a kind of failure, beyond what its own sentence says."""

from __future__ import annotations

from beacon.domain.failure import FailureKind

_ADVICE: dict[str, str] = {
    FailureKind.RATE_LIMITED: "Retry when the provider is less busy, or lower its concurrency in the fleet.",
    FailureKind.PROVIDER_ERROR: "Retry once; if it fails again, the cause lies with the provider or the request.",
    FailureKind.PROTOCOL_ERROR: "Retry once; if it fails again, the endpoint does not keep to its protocol.",
    FailureKind.OUTCOME_UNKNOWN: "A retry asks anew: the provider may have answered, but keeps no results.",
    FailureKind.REFUSED_CONNECTION: "Start the provider or correct its address in the fleet, then retry.",
    FailureKind.RESULT_LOST: "A retry asks anew: the mailbox accepted the request and lost its result.",
    FailureKind.DEADLINE_EXPIRED: "Retry, or raise limits.execution_deadline for the next job.",
    FailureKind.COLD_START_EXPIRED: "Retry once the provider is warm, or raise its cold_start in the fleet.",
    FailureKind.REGION_MISMATCH: "Do not retry before an operator has checked where this provider runs: "
    "the region is the experiment's variable.",
    FailureKind.MODEL_MISMATCH: "Do not retry before an operator has checked what this provider serves, "
    "or has listed the name under echoes.",
    FailureKind.JOB_DEADLINE: "The job's own deadline passed; a retry runs these without it having to start over.",
    FailureKind.COST_CEILING: "The job's cost ceiling was reached; a retry spends more.",
    FailureKind.STRAGGLER: "An operator ended the slowest ones; a retry asks them again.",
    FailureKind.CANCELLED: "The job was asked to stop; a retry takes these up again.",
}


def advice(kind: str) -> str | None:
    """A sentence, or None for a kind that this version does not know."""
    return _ADVICE.get(kind)
