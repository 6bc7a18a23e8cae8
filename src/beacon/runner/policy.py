"""What follows from an attempt's outcome: completed, another attempt, or the end (DESIGN section 3).

Pure: no clock, no database, no network.
"""

from __future__ import annotations

from beacon.domain.answer import Answer, Outcome
from beacon.domain.failure import Failure, FailureKind, Stage, terminal_status
from beacon.domain.spec import Limits
from beacon.domain.states import ExecutionStatus
from beacon.domain.value import value

FIRST_PAUSE_S = 0.5
"""Before the second attempt, unless the provider asked for a pause of its own; it doubles with each attempt."""
LONGEST_PAUSE_S = 30.0
"""The longest of these pauses. One that the deadline does not allow ends the execution at once, and says so."""


@value(frozen=True, slots=True)
class Conclusion:
    """The status that the execution takes; `pause_s` before the next attempt where it is `retrying`.

    `budgeted` is false for a retry that the retry budget need not allow: that of an attempt which does not count.
    """

    status: ExecutionStatus
    message: str | None = None
    pause_s: float = 0.0
    budgeted: bool = True


_ANSWERED = Conclusion(ExecutionStatus.COMPLETED)


def conclude(
    outcome: Outcome, *, attempts: int, counted: int, left_s: float, limits: Limits, jitter: float
) -> Conclusion:
    """`attempts` were made, `counted` of them count, this one included; `left_s` is left of the deadline.

    `jitter` from 0 to 1 spreads the pauses of executions that failed together.
    """
    if isinstance(outcome, Answer):
        return _ANSWERED
    ending = terminal_status(outcome.kind)
    if not may_be_retried(outcome, limits):
        return Conclusion(ending, outcome.message)
    if counted >= limits.max_attempts:
        return Conclusion(ending, _all_failed(outcome, attempts))
    pause = pause_before(attempts, outcome.retry_after_s, jitter)
    if pause >= left_s:
        return Conclusion(ending, _no_time(outcome, attempts, pause, left_s))
    return Conclusion(ExecutionStatus.RETRYING, outcome.message, pause, budgeted=outcome.counts)


def may_be_retried(failure: Failure, limits: Limits) -> bool:
    if failure.kind in (FailureKind.OUTCOME_UNKNOWN, FailureKind.RESULT_LOST):
        return limits.on_unknown == "retry"
    return failure.retryable


def pause_before(attempts: int, retry_after_s: float | None, jitter: float) -> float:
    """Seconds until the next attempt: what the provider asked for, else doubling from `FIRST_PAUSE_S`."""
    if retry_after_s is not None:
        return retry_after_s + 0.25 * jitter
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempts - 1)) * (0.5 + jitter)


def expired_without_budget(message: str | None, waited_ms: float) -> Failure:
    """The failure of an execution whose deadline passed while its retry waited for the retry budget."""
    why = (
        f"The execution's deadline passed after its retry had waited {waited_ms / 1000:.1f} s for the retry budget: "
        f"too much of what its model and region are asked fails to ask for all of it again. The last attempt: {message}"
    )
    return Failure(FailureKind.DEADLINE_EXPIRED, Stage.QUEUE, why, retryable=False)


def _all_failed(failure: Failure, attempts: int) -> str:
    return failure.message if attempts == 1 else f"All {attempts} attempts failed, the last so: {failure.message}"


def _no_time(failure: Failure, attempts: int, pause_s: float, left_s: float) -> str:
    count = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return (
        f"{failure.message} No further attempt after {count}: the next pause of {pause_s:.1f} s is longer than "
        f"the {left_s:.1f} s that were left of the execution's deadline."
    )
