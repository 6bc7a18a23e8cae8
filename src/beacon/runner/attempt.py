"""One attempt: written ahead, sent, and turned into what is recorded of it."""

from __future__ import annotations

from dataclasses import replace

from beacon.domain.answer import Answer, Inference, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage, terminal_status
from beacon.domain.prompt import messages
from beacon.domain.spec import JobSpec
from beacon.domain.states import ExecutionStatus
from beacon.router.router import Placement
from beacon.runner.policy import Conclusion
from beacon.runner.work import Work
from beacon.store.group import Finish, Noted, Start


def attempt_key(execution_id: str, number: int) -> str:
    """The attempt's id, under which its answer can be fetched. A number is never used twice."""
    return f"{execution_id}.{number}"


def set_deadline(work: Work, placement: Placement, spec: JobSpec, clock: Clock) -> Deadline:
    """The execution's one deadline: it starts with the first attempt and adds a cold start once."""
    deadline = work.deadline or Deadline.after(spec.limits.execution_deadline, clock)
    if not work.cold_start_added and placement.cold_start_s > 0:
        deadline = Deadline(deadline.expires_at + placement.cold_start_s, clock)
        work.cold_start_added = True
    work.deadline = deadline
    return deadline


def write_ahead(work: Work, placement: Placement, deadline: Deadline, clock: Clock) -> Start:
    """The next attempt as it is committed before its first byte leaves."""
    work.attempts += 1
    now = clock.wall()
    return Start(
        execution_id=work.execution.id,
        attempt_id=attempt_key(work.execution.id, work.attempts),
        number=work.attempts,
        shard=work.execution.shard,
        epoch=work.under.shard.epoch,
        provider=placement.provider.name,
        written_at=now,
        deadline_at=now + deadline.left_s(),
    )


def note(work: Work, reference: str) -> Noted:
    """The provider's own reference to the newest attempt, from now on known to its work too."""
    work.references[work.attempts] = reference
    return Noted(attempt_key(work.execution.id, work.attempts), reference)


def inference_of(work: Work, spec: JobSpec) -> Inference:
    execution = work.execution
    return Inference(
        key=attempt_key(execution.id, work.attempts),
        attempt=work.attempts,
        model=execution.model,
        region=execution.region,
        messages=messages(spec, execution),
        temperature=spec.sampling.temperature,
        max_tokens=spec.sampling.max_tokens,
        top_p=spec.sampling.top_p,
        question_id=execution.question_id,
        language=execution.language,
        repeat=execution.repeat,
    )


def finish_of(
    work: Work,
    provider: str,
    outcome: Outcome,
    conclusion: Conclusion,
    clock: Clock,
    *,
    held_ms: float = 0.0,
    chosen: str | None = None,
) -> Finish:
    """What is recorded of an attempt that ended by itself.

    `held_ms` of its `cold_start` went by before its request was sent, which is no part of its duration. `chosen` is why
    its provider was, as the placement says.
    """
    attempt_id = attempt_key(work.execution.id, work.attempts)
    if isinstance(outcome, Answer):
        return Finish(
            execution_id=work.execution.id,
            attempt_id=attempt_id,
            number=work.attempts,
            shard=work.execution.shard,
            status=ExecutionStatus.COMPLETED,
            attempt_status="answered",
            finished_at=outcome.finished_at,
            started_at=outcome.started_at,
            first_token_at=outcome.first_token_at,
            duration_ms=outcome.duration_ms,
            provider=provider,
            answer=outcome,
            stages_ms=outcome.stages_ms,
            chosen=chosen,
        )
    now = clock.wall()
    spent_ms = sum(ms for stage, ms in outcome.stages_ms.items() if stage not in (Stage.ROUTE, Stage.QUEUE)) - held_ms
    return Finish(
        execution_id=work.execution.id,
        attempt_id=attempt_id,
        number=work.attempts,
        shard=work.execution.shard,
        status=conclusion.status,
        attempt_status="failed",
        finished_at=now,
        started_at=now - spent_ms / 1000,
        duration_ms=spent_ms,
        provider=provider,
        kind=outcome.kind.value,
        stage=outcome.stage.value,
        error=conclusion.message,
        counts=outcome.counts,
        stages_ms=outcome.stages_ms,
        chosen=chosen,
        next_attempt_at=now + conclusion.pause_s if conclusion.status is ExecutionStatus.RETRYING else None,
    )


def end_unsent(work: Work, failure: Failure, clock: Clock) -> Finish:
    """The end of an execution that has no attempt under way."""
    return Finish(
        execution_id=work.execution.id,
        attempt_id=None,
        number=work.attempts,
        shard=work.execution.shard,
        status=terminal_status(failure.kind),
        attempt_status="",
        finished_at=clock.wall(),
        kind=failure.kind.value,
        stage=failure.stage.value,
        error=failure.message,
        provider=work.provider,
    )


def end_under_way(work: Work, provider: str, failure: Failure, clock: Clock) -> Finish:
    """The end of an execution whose attempt is given up, because the job stops."""
    return Finish(
        execution_id=work.execution.id,
        attempt_id=attempt_key(work.execution.id, work.attempts),
        number=work.attempts,
        shard=work.execution.shard,
        status=terminal_status(failure.kind),
        attempt_status="failed",
        finished_at=clock.wall(),
        kind=failure.kind.value,
        stage=failure.stage.value,
        error=failure.message,
        provider=provider,
    )


def interrupted(
    work: Work, provider: str | None, clock: Clock, status: ExecutionStatus, *, keeps_results: bool = False
) -> Finish:
    """What is recorded of an attempt whose runner stopped: nobody knows whether its answer was finished."""
    if keeps_results:
        kind, rest = FailureKind.RESULT_LOST, "nothing is known of it there any more."
    else:
        kind, rest = FailureKind.OUTCOME_UNKNOWN, "whether it finished is not known: this endpoint keeps no results."
    working = f"The runner stopped while {provider or 'a provider'} was working on attempt {work.attempts}"
    return Finish(
        execution_id=work.execution.id,
        attempt_id=attempt_key(work.execution.id, work.attempts),
        number=work.attempts,
        shard=work.execution.shard,
        status=status,
        attempt_status="interrupted",
        finished_at=clock.wall(),
        kind=kind.value,
        stage=Stage.INFERENCE.value,
        error=f"{working}; {rest}",
        counts=False,
        provider=provider,
    )


def not_needed(work: Work, provider: str, clock: Clock) -> Finish:
    """The end of an attempt that was written ahead and not sent, because an earlier one turned out to be answered."""
    return Finish(
        execution_id=work.execution.id,
        attempt_id=attempt_key(work.execution.id, work.attempts),
        number=work.attempts,
        shard=work.execution.shard,
        status=ExecutionStatus.RETRYING,
        attempt_status="refused",
        finished_at=clock.wall(),
        error="Not sent: the answer to an earlier attempt was found where it had been kept.",
        counts=False,
        provider=provider,
    )


def too_late(work: Work, provider: str, clock: Clock) -> Finish:
    """The end of an attempt that was written ahead and not sent, because its commit was known of too late."""
    return replace(
        not_needed(work, provider, clock),
        error="Not sent: too much time had passed between the commit of this attempt and the word of it.",
    )


_STOPPED: dict[FailureKind, str] = {
    FailureKind.CANCELLED: "The job was cancelled. What had finished is kept; retry it if it is wanted after all.",
    FailureKind.JOB_DEADLINE: "The job's deadline passed. A retry of what is missing has the deadline anew.",
    FailureKind.COST_CEILING: (
        "The job reached its cost ceiling. Ask what is missing in a new job with a higher limits.max_cost_usd."
    ),
    FailureKind.STRAGGLER: "An operator ended the last stragglers. Retry them when their providers answer again.",
}


def stopped(kind: FailureKind) -> Failure:
    """Why an execution that was still open ended when its job was stopped."""
    return Failure(kind, Stage.QUEUE, _STOPPED[kind], retryable=False)
