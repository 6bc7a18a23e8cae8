"""Answers that a provider kept: fetched by their old keys before anything is asked anew (no-lost-success)."""

from __future__ import annotations

import random
from dataclasses import replace

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, terminal_status
from beacon.domain.spec import JobSpec
from beacon.domain.states import ExecutionStatus
from beacon.router.router import Router
from beacon.runner import attempt
from beacon.runner.policy import Conclusion, conclude
from beacon.runner.work import Work
from beacon.store.group import Finish

LOOK_BACK_SHARE = 0.25
"""How much of an execution's time may go into looking for the answer to an earlier attempt, whose provider may be
away while another of the cell is there."""


class Recovery:
    """Looks for kept answers of one job."""

    def __init__(self, spec: JobSpec, router: Router, clock: Clock, rng: random.Random) -> None:
        self._spec = spec
        self._router = router
        self._clock = clock
        self._rng = rng

    def can_fetch(self, work: Work) -> bool:
        """Whether the answer to any attempt so far may be kept where it can be fetched."""
        numbers = range(1, work.attempts + 1)
        return any(self._router.keeps_results(work.execution.provider, work.references.get(n)) for n in numbers)

    def keeps_newest(self, work: Work) -> bool:
        """Whether the provider of the execution's newest attempt keeps its result."""
        return self._router.keeps_results(work.execution.provider, work.reference)

    async def take_over(self, work: Work) -> Finish | None:
        """How the attempt that a stopped runner left under way ended; waits for it. None where nothing is known.

        The work's deadline starts anew, as for every execution that is taken over, and covers this wait. An
        attempt that its provider ended at the old deadline, while nobody was there, is retried under a new one.
        """
        left_s = (work.execution.deadline_at or 0.0) - self._clock.wall()
        deadline = Deadline.after(max(self._spec.limits.execution_deadline, left_s), self._clock)
        outcome = await self._fetch(work, deadline)
        if outcome is None:
            return None
        if isinstance(outcome, Failure) and _timed_out(outcome) and not deadline.expired:
            conclusion = Conclusion(ExecutionStatus.RETRYING, outcome.message)
            outcome = replace(outcome, counts=False)
        else:
            work.deadline = deadline
            conclusion = self._conclude(work, outcome, deadline)
        return attempt.finish_of(work, work.execution.provider or "", outcome, conclusion, self._clock)

    async def look_back(self, work: Work) -> Finish | None:
        """As `earlier_answer`, for an attempt that was taken over and of which nothing is known."""
        return await self.earlier_answer(work, Deadline.after(self._spec.limits.execution_deadline, self._clock))

    async def earlier_answer(self, work: Work, deadline: Deadline) -> Finish | None:
        """The answer to an attempt before the newest, as that attempt's end; None where none was kept.

        The newest of which the provider knows decides.
        """
        within = Deadline.after(LOOK_BACK_SHARE * deadline.left_s(), self._clock)
        for number in range(work.attempts - 1, 0, -1):
            earlier = replace(work, attempts=number)
            outcome = await self._fetch(earlier, within)
            if isinstance(outcome, Answer):
                completed = Conclusion(ExecutionStatus.COMPLETED)
                return attempt.finish_of(earlier, outcome.provider, outcome, completed, self._clock)
            if outcome is not None:
                break
        return None

    async def withdraw(self, work: Work, provider: str) -> None:
        """Tells a provider that keeps results that nobody wants this one any more."""
        key = attempt.attempt_key(work.execution.id, work.attempts)
        deadline = work.deadline or Deadline.after(self._spec.limits.execution_deadline, self._clock)
        await self._router.cancel(provider, key, deadline, work.reference)

    async def _fetch(self, work: Work, deadline: Deadline) -> Outcome | None:
        inference = attempt.inference_of(work, self._spec)
        return await self._router.fetch(work.execution.provider, inference, deadline, work.reference)

    def _conclude(self, work: Work, outcome: Outcome, deadline: Deadline) -> Conclusion:
        if isinstance(outcome, Failure):
            work.counted += int(outcome.counts)
            if outcome.other_provider_only:
                work.avoid |= {work.execution.provider or ""}
        return conclude(
            outcome,
            attempts=work.attempts,
            counted=work.counted,
            left_s=deadline.left_s(),
            limits=self._spec.limits,
            jitter=self._rng.random(),
        )


def _timed_out(failure: Failure) -> bool:
    return terminal_status(failure.kind) is ExecutionStatus.TIMED_OUT
