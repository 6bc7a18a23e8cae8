"""Driving a job: shards into lanes, attempts over the router, everything recorded in groups.

`drive_shard` is the one function that executes work (DESIGN section 4). It hands the shard's open executions to
the lanes of its region and returns when each is terminal, or when the shard was lost to another runner.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.spec import JobSpec
from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.router.router import Placement, Router
from beacon.runner import attempt
from beacon.runner.budget import RetryBudget
from beacon.runner.halting import Haltable, Halted
from beacon.runner.hands import Hands
from beacon.runner.lane import Lane
from beacon.runner.patience import PatientDatabase
from beacon.runner.policy import Conclusion, conclude, expired_without_budget
from beacon.runner.recorder import Recorder, TurnedAway
from beacon.runner.recovery import Recovery
from beacon.runner.spool import Spool
from beacon.runner.work import ShardUnderWay, Work
from beacon.store import interventions
from beacon.store.executions import OpenExecution, open_cells, open_in_shard, references_in_shard
from beacon.store.group import Finish, Recorded
from beacon.store.leases import Shard

SEND_WITHIN_S = 10.0
"""An attempt that was written ahead longer ago is not sent: its process stood still, and others may drive its shard."""


class Drive:
    """One job as this runner drives it. Use `async with`; it ends when its lanes and attempts have ended.

    `dry` is set for a region in which some model has nothing left to send; `exhausted` are the regions of which no
    further shard was to be had when one was last looked for; `shards` are those that are being driven.
    """

    def __init__(
        self,
        job_id: str,
        spec: JobSpec,
        *,
        database: PatientDatabase,
        spool: Spool,
        router: Router,
        clock: Clock,
        rng: random.Random,
        budgets: Mapping[tuple[str, str], RetryBudget],
    ) -> None:
        self.job_id = job_id
        self.spec = spec
        self.stop_kind: FailureKind | None = None
        self.interrupted = False
        self._ceiling_reached = False
        self._over = False
        self.dry = {region: asyncio.Event() for region in spec.regions}
        self.exhausted: set[str] = set()
        self.shards: set[int] = set()
        self._database = database
        self._presence = database.presence
        self._router = router
        self._clock = clock
        self._rng = rng
        self._budgets = budgets
        self._recorder = Recorder(database, job_id, clock, self._note, spool)
        self._recovery = Recovery(spec, router, clock, rng)
        self._lanes = {
            (model, region): Lane(router, (model, region), self._launch, self.dry[region].set)
            for model in spec.models
            for region in spec.regions
        }
        self._haltable = Haltable(self._is_halted)
        self._tasks = asyncio.TaskGroup()
        self._hands = Hands(self._tasks, self._execute)
        self._lane_tasks: list[asyncio.Task[None]] = []
        self._prewarming: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Drive:
        cells = await self._database.read(open_cells, self.job_id)
        await self._tasks.__aenter__()
        # Before any lane has work: what is cold is held before something is sent to it.
        self._prewarming = self._tasks.create_task(self._prewarm(cells))
        self._lane_tasks = [self._tasks.create_task(lane.run()) for lane in self._lanes.values()]
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._over = True
        self._hands.close()
        for task in (*self._lane_tasks, self._prewarming):
            if task is not None:
                task.cancel()
        try:
            await self._tasks.__aexit__(*raised)  # type: ignore[arg-type]
        finally:
            await self._recorder.flush()

    async def _prewarm(self, cells: list[tuple[str, str]]) -> None:
        """Wakes the providers of what is still to be asked here, and no others; given up when the job stops."""
        with suppress(Halted), self._haltable:
            await self._router.prewarm([cell for cell in cells if cell in self._lanes])

    async def drive_shard(self, shard: Shard) -> bool:
        """Executes what is open in the shard; False where the shard was lost or the runner stops."""
        self.shards.add(shard.number)
        try:
            return await self._drive_shard(ShardUnderWay(shard))
        finally:
            self.shards.discard(shard.number)

    async def _drive_shard(self, under: ShardUnderWay) -> bool:
        shard = under.shard
        while not self.is_interrupted() and not under.lost:
            found = await self._database.read(open_in_shard, self.job_id, shard.number)
            if not found:
                return True
            if self.is_interrupted():
                return False
            references = await self._database.read(references_in_shard, self.job_id, shard.number)
            works = [self._work(execution, under, references.get(execution.id, {})) for execution in found]
            under.take(len(works))
            left_behind = [work for work in works if work.execution.status is ExecutionStatus.RUNNING]
            fetchable = dict.fromkeys(work for work in left_behind if self._recovery.can_fetch(work))
            for work in fetchable:
                self._tasks.create_task(self._recover(work))
            gone = [work for work in left_behind if work not in fetchable]
            await asyncio.gather(*(self._recorder.record(self._taken_over(work)) for work in gone))
            rest = [work for work in works if work not in fetchable]
            if self.stop_kind is not None:
                await self._end_all(rest, self.stop_kind)
            elif self.is_interrupted():
                for _ in rest:
                    under.settle_one()
            else:
                self._enqueue(rest)
                self._want_more(shard.region)
            await under.all_settled()
        return False

    def _work(self, execution: OpenExecution, under: ShardUnderWay, references: dict[int, str]) -> Work:
        """A deadline that began under a runner that stopped does not run on: that time was no provider's."""
        tried = (execution.attempts, execution.counted)
        work = Work(execution, under, *tried, provider=execution.provider, references=references)
        work.look_back = self._recovery.can_fetch(work)
        return work

    def _taken_over(self, work: Work) -> Finish:
        keeps = self._recovery.keeps_newest(work)
        return attempt.interrupted(
            work, work.execution.provider, self._clock, self._after_unknown(), keeps_results=keeps
        )

    def _after_unknown(self) -> ExecutionStatus:
        """What an execution becomes of whose attempt nobody knows the outcome."""
        return ExecutionStatus.FAILED if self.spec.limits.on_unknown == "fail" else ExecutionStatus.RETRYING

    async def _recover(self, work: Work) -> None:
        """Records what a stopped runner's attempt came to, and goes on with the execution where that is no end."""
        handed_on = False
        try:
            if self.stop_kind not in (None, FailureKind.COST_CEILING):
                await self._give_up(work, work.execution.provider or "")
                return
            with self._haltable:
                taken_over = await self._recovery.take_over(work)
                earlier = None if taken_over else await self._recovery.look_back(work)
            work.look_back = False
            finish = taken_over or self._taken_over(work)
            if earlier is not None:
                await asyncio.gather(self._recorder.record(earlier), self._recorder.record(finish))
                return
            moved = await self._recorder.record(finish)
            if moved and finish.status is ExecutionStatus.RETRYING:
                if self.stop_kind is not None:
                    await self._end(work, self.stop_kind)
                elif not self.interrupted:
                    self._lanes[work.cell].add([work])
                    handed_on = True
        except Halted:
            await self._give_up(work, work.execution.provider or "")
        finally:
            if not handed_on:
                work.under.settle_one()

    def _enqueue(self, works: list[Work]) -> None:
        failed_by_takeover = self.spec.limits.on_unknown == "fail"
        by_cell: dict[tuple[str, str], list[Work]] = {}
        for work in works:
            if failed_by_takeover and work.execution.status is ExecutionStatus.RUNNING:
                work.under.settle_one()
            else:
                by_cell.setdefault(work.cell, []).append(work)
        for cell, queued in by_cell.items():
            self._lanes[cell].add(queued)

    def _want_more(self, region: str) -> None:
        """A shard that was taken over may hold nothing for some model, which needs the next one at once."""
        if any(not lane.waiting for (_, where), lane in self._lanes.items() if where == region):
            self.dry[region].set()

    def _launch(self, work: Work, placement: Placement) -> None:
        self._hands.give(work, placement)

    async def _execute(self, work: Work, placement: Placement) -> None:
        """Attempts until the execution is terminal, its shard is lost, or the runner stops."""
        slot: Placement | None = placement
        try:
            while slot is not None:
                try:
                    conclusion = await self._attempt(work, slot)
                finally:
                    slot.release()
                slot = await self._next_slot(work, conclusion) if conclusion is not None else None
        finally:
            work.under.settle_one()

    async def _attempt(self, work: Work, placement: Placement) -> Conclusion | None:
        """Writes an attempt ahead, sends it, records it. None where nothing more is to be done for this work."""
        provider = placement.provider.name
        began = self._clock.monotonic()
        deadline = await self._written_ahead(work, placement)
        if deadline is None:
            return None
        work.provider = provider
        if (waited_s := self._clock.monotonic() - began) > SEND_WITHIN_S:
            return await self._too_late(work, provider, waited_s)
        try:
            if work.look_back and await self._answered_before(work, provider, deadline):
                return None
            with self._haltable:
                inference = attempt.inference_of(work, self.spec)
                outcome = await placement.send(inference, deadline, partial(self._note_reference, work))
        except Halted:
            await self._give_up(work, provider)
            return None
        placement.release()
        return await self._ended(work, placement, outcome, deadline)

    async def _ended(self, work: Work, placement: Placement, outcome: Outcome, deadline: Deadline) -> Conclusion | None:
        """Records how an attempt ended; None where no further one follows."""
        provider = placement.provider.name
        self._learn(work, provider, outcome)
        conclusion = conclude(
            outcome,
            attempts=work.attempts,
            counted=work.counted,
            left_s=deadline.left_s(),
            limits=self.spec.limits,
            jitter=self._rng.random(),
        )
        held_ms = placement.waited_ms if placement.waited_in is Stage.COLD_START else 0.0
        finish = attempt.finish_of(
            work, provider, outcome, conclusion, self._clock, held_ms=held_ms, chosen=placement.why
        )
        moved = await self._recorder.record(finish)
        return conclusion if moved and conclusion.status is ExecutionStatus.RETRYING else None

    async def _written_ahead(self, work: Work, placement: Placement) -> Deadline | None:
        """Commits the next attempt, as soon as the database is there: its deadline, or None where it is refused."""
        while True:
            if self._presence.away and not await self._until_there(work):
                return None
            deadline = attempt.set_deadline(work, placement, self.spec, self._clock)
            start = attempt.write_ahead(work, placement, deadline, self._clock)
            try:
                if await self._recorder.record(start):
                    return deadline
            except TurnedAway:
                work.attempts -= 1
                continue
            await self._refused(work)
            return None

    async def _until_there(self, work: Work) -> bool:
        """Waits while the database is away, and the work's deadline with it: that time is no provider's.

        False where the job or the runner stopped meanwhile, and the work with it.
        """
        since = self._clock.monotonic()
        try:
            with self._haltable:
                await self._presence.until_there()
        except Halted:
            if (kind := self._stopped_as()) is not None:
                await self._end(work, kind)
            return False
        self._extend(work, self._clock.monotonic() - since)
        return True

    def _extend(self, work: Work, seconds: float) -> None:
        if work.deadline is not None:
            work.deadline = Deadline(work.deadline.expires_at + seconds, self._clock)

    async def _too_late(self, work: Work, provider: str, waited_s: float) -> Conclusion | None:
        """An attempt that was committed too long ago to be sent: another one follows where the shard is still ours."""
        if not await self._recorder.record(attempt.too_late(work, provider, self._clock)):
            work.under.lost = True
            return None
        self._extend(work, waited_s)
        return Conclusion(ExecutionStatus.RETRYING, budgeted=False)

    def _learn(self, work: Work, provider: str, outcome: Outcome) -> None:
        """What the outcome of an attempt means for those that may follow it, of this execution and of its cell."""
        budget = self._budgets[work.cell]
        if isinstance(outcome, Answer):
            budget.answered()
            return
        work.counted += int(outcome.counts)
        work.avoid |= {provider} if outcome.other_provider_only else frozenset()
        if outcome.counts and work.counted == 1:
            budget.first_failed()

    async def _next_slot(self, work: Work, conclusion: Conclusion) -> Placement | None:
        """Pauses, then waits for the retry budget and for a slot in the same cell.

        None where the deadline passed meanwhile.
        """
        if self.stop_kind is not None:
            await self._end(work, self.stop_kind)
            return None
        assert work.deadline is not None
        since = self._clock.monotonic()
        allowed = not conclusion.budgeted
        try:
            with self._haltable:
                await asyncio.sleep(conclusion.pause_s)
                since = self._clock.monotonic()
                async with asyncio.timeout(work.deadline.left_s()):
                    if not allowed:
                        await self._budgets[work.cell].take()
                        allowed, since = True, self._clock.monotonic()
                    return await self._router.place(*work.cell, avoid=work.avoid)
        except Halted:
            if (kind := self._stopped_as()) is not None:
                await self._end(work, kind)
            return None
        except TimeoutError:
            if self._presence.away:
                return await self._slot_after_absence(work, conclusion)
            waited_ms = 1000 * (self._clock.monotonic() - since)
            if allowed:
                failure = self._router.expired_while_waiting(*work.cell, waited_ms)
            else:
                failure = expired_without_budget(conclusion.message, waited_ms)
            await self._recorder.record(attempt.end_unsent(work, failure, self._clock))
            return None

    async def _slot_after_absence(self, work: Work, conclusion: Conclusion) -> Placement | None:
        """An execution's time does not run out while the database is away."""
        self._extend(work, self._presence.away_s)
        if not await self._until_there(work):
            return None
        return await self._next_slot(work, replace(conclusion, pause_s=0.0))

    async def _refused(self, work: Work) -> None:
        """A write-ahead was refused: the job stops, or another runner has taken the shard."""
        work.attempts -= 1
        if self.stop_kind is not None:
            await self._end(work, self.stop_kind)
        else:
            work.under.lost = True

    async def _answered_before(self, work: Work, provider: str, deadline: Deadline) -> bool:
        """Whether the answer to an earlier attempt was kept; it is recorded, and this attempt is not needed."""
        work.look_back = False
        with self._haltable:
            found = await self._recovery.earlier_answer(work, deadline)
        if found is None:
            return False
        # Handed in together, so that neither is committed without the other.
        not_needed = attempt.not_needed(work, provider, self._clock)
        await asyncio.gather(self._recorder.record(found), self._recorder.record(not_needed))
        return True

    async def _give_up(self, work: Work, provider: str) -> None:
        """An attempt that is under way is not waited for any more.

        Where this runner alone stops and the provider keeps results, nothing is recorded: whoever takes the
        execution over fetches the answer.
        """
        if self.stop_kind is not None:
            failure = attempt.stopped(self.stop_kind)
            await self._recorder.record(attempt.end_under_way(work, provider, failure, self._clock))
            await self._recovery.withdraw(work, provider)
        elif not self._router.keeps_results(provider, work.reference):
            await self._recorder.record(attempt.interrupted(work, provider, self._clock, self._after_unknown()))

    async def _note_reference(self, work: Work, reference: str) -> None:
        await self._recorder.record(attempt.note(work, reference))

    async def _end(self, work: Work, kind: FailureKind) -> None:
        await self._recorder.record(attempt.end_unsent(work, attempt.stopped(kind), self._clock))

    async def _end_all(self, works: list[Work], kind: FailureKind) -> None:
        await self._end_each(works, attempt.stopped(kind))

    async def _end_each(self, works: list[Work], failure: Failure) -> None:
        async with asyncio.TaskGroup() as ending:
            for work in works:
                ending.create_task(self._recorder.record(attempt.end_unsent(work, failure, self._clock)))
        for work in works:
            work.under.settle_one()

    def _note(self, recorded: Recorded) -> None:
        if recorded.stop_kind is not None and recorded.job_status is JobStatus.RUNNING:
            self.stop(FailureKind(recorded.stop_kind))
        ceiling = self.spec.limits.max_cost_usd
        if ceiling is not None and recorded.cost_usd >= ceiling and not (self._ceiling_reached or self._over):
            self._ceiling_reached = True
            self._tasks.create_task(self.request_stop(FailureKind.COST_CEILING))

    async def request_stop(self, kind: FailureKind) -> None:
        """Stops the job for every runner."""
        await self._database.write(interventions.request_stop, self.job_id, kind.value, self._clock.wall())
        self.stop(kind)

    def stop(self, kind: FailureKind) -> None:
        """Ends what is open, each with the reason `kind`. At a cost ceiling, what is paid for is waited for."""
        if self.stop_kind is not None and not _supersedes(kind, self.stop_kind):
            return
        self.stop_kind = kind
        if self._over:
            return
        waiting = [work for lane in self._lanes.values() for work in lane.drain()]
        self._tasks.create_task(self._end_all(waiting, kind))
        if kind is not FailureKind.COST_CEILING:
            self._haltable.halt()
        self.wake()

    async def end_closed(self) -> None:
        """Ends what waits for providers that ask for more time than it may wait for."""
        for cell, lane in self._lanes.items():
            failure = self._router.closed(*cell) if lane.waiting else None
            if failure is not None:
                waiting = lane.drain()
                self.dry[cell[1]].set()
                await self._end_each(waiting, failure)

    def interrupt(self) -> None:
        """Stops this runner's work on the job; what was under way is owed a further attempt."""
        self.interrupted = True
        for lane in self._lanes.values():
            for work in lane.drain():
                work.under.settle_one()
        self._haltable.halt()
        self.wake()

    # Methods, since what they tell changes between two awaits of one function.

    def is_interrupted(self) -> bool:
        return self.interrupted

    def _stopped_as(self) -> FailureKind | None:
        return self.stop_kind

    def _is_halted(self) -> bool:
        """Whether what is under way is given up; at a cost ceiling it is waited for."""
        return self.interrupted or self.stop_kind not in (None, FailureKind.COST_CEILING)

    def wake(self, regions: Iterable[str] | None = None) -> None:
        """Has shards looked for in these regions, or in all."""
        for region in self.dry if regions is None else regions:
            self.dry[region].set()


def _supersedes(kind: FailureKind, earlier: FailureKind) -> bool:
    """A user's cancel does not wait for what a cost ceiling still lets finish."""
    return kind is FailureKind.CANCELLED and earlier is FailureKind.COST_CEILING
