"""Planted bugs: what the simulation must find. Each is a patch that only a test puts in; none stands in the product.

`instead` plants one by the words of the source: what stands there, and what is to stand in its place.
"""

from __future__ import annotations
import __future__

import asyncio
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from aiohttp import ServerDisconnectedError
from sqlalchemy import select, update

from beacon.domain.failure import FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.domain.states import ExecutionStatus, JobStatus, may_move
from beacon.router.router import Placement, Router
from beacon.router.transports.agent import AgentTransport
from beacon.router.transports.exchange import Exchange
from beacon.router.transports.openai import OpenAITransport
from beacon.router.transports.visit import Visit
from beacon.runner import attempt, drive, finalize, policy, recovery, runner
from beacon.runner.drive import Drive
from beacon.runner.lane import Lane
from beacon.runner.pausing import Pausing
from beacon.runner.recorder import Recorder
from beacon.runner.recovery import Recovery
from beacon.runner.runner import Runner
from beacon.store import evidence, group_sqlite, interventions, leases, ledger, pauses
from beacon.store.group import Start
from beacon.store.tables import executions, jobs, shards

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Bug:
    """`kinds` are the violations of which at least one must be found; `favour` see `Scenario`."""

    name: str
    kinds: tuple[str, ...]
    patches: Callable[[], list[Patch]]
    favour: str | None = None

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, put in self.patches():
                stack.enter_context(patch.object(owner, name, put))
            yield


BUGS: dict[str, Bug] = {}


def bug(*kinds: str, favour: str | None = None) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def add(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        BUGS[patches.__name__] = Bug(patches.__name__, kinds, patches, favour)
        return patches

    return add


def instead(owner: Any, name: str, old: str, new: str) -> Any:
    """The function `name` of a module or class, with `new` for `old` in its source. Raises ValueError without `old`."""
    function = inspect.unwrap(getattr(owner, name))
    source = textwrap.dedent(inspect.getsource(function))
    if old not in source:
        raise ValueError(f"{name} has no {old!r} any more: plant the bug anew")
    made: dict[str, Any] = {}
    code = compile(source.replace(old, new), f"<{name} with a bug>", "exec", __future__.annotations.compiler_flag)
    exec(code, function.__globals__, made)
    return made[name]


def edit(owner: Any, name: str, old: str, new: str) -> Patch:
    return owner, name, instead(owner, name, old, new)


@bug("early-complete")
def job_closed_before_its_last_result() -> list[Patch]:
    real = ledger.advance

    def advance(connection: Any, job_id: str, by: Any, now: float) -> Any:
        row = real(connection, job_id, by, now)
        done = sum(row.counts[name] for name in ("completed", "failed", "timed_out", "cancelled"))
        if row.status is JobStatus.RUNNING and by.n_done > 0 and done == row.counts["total"] - 1:
            closing = update(jobs).where(jobs.c.id == job_id).values(status="finalizing", finalizing_at=now)
            connection.execute(closing)
            return replace(row, status=JobStatus.FINALIZING)
        return row

    return [(ledger, "advance", advance)]


@bug("status", "events", "counts", "stuck")
def retrying_left_after_success() -> list[Patch]:
    real = group_sqlite._write_answers

    def write(connection: Any, finishes: Any, now: float) -> None:
        real(connection, finishes, now)
        second = [finish.execution_id for finish in finishes if (finish.number or 1) > 1]
        still = update(executions).where(executions.c.id.in_(second)).values(status=ExecutionStatus.RETRYING.value)
        connection.execute(still)

    return [(group_sqlite, "_write_answers", write)]


@bug("lost")
def transport_error_taken_as_a_verdict() -> list[Patch]:
    class Cut(Exception):
        pass

    tries, reads = AgentTransport._try, AgentTransport._until_over

    async def once(self: Any, visit: Any, method: str, patience_s: float, **more: Any) -> Any:
        reply = await tries(self, visit, method, patience_s, **more)
        if reply is None and method == "GET":
            raise Cut
        return reply

    async def until_over(self: Any, visit: Any) -> Any:
        try:
            return await reads(self, visit)
        except Cut:
            return visit._fail(FailureKind.PROTOCOL_ERROR, "was cut", Stage.FETCH, visit._stages(Stage.FETCH))

    return [(AgentTransport, "_try", once), (AgentTransport, "_until_over", until_over)]


@bug("write-ahead")
def no_write_ahead() -> list[Patch]:
    real = Recorder.record

    async def record(self: Any, item: Any) -> bool:
        if isinstance(item, Start):
            asyncio.create_task(real(self, item))  # noqa: RUF006 - it is a bug
            return True
        return await real(self, item)

    return [(Recorder, "record", record)]


@bug("unfenced", favour="zombies")
def attempts_are_not_fenced() -> list[Patch]:
    def may_start(start: Any, before: Any, _epochs: Any) -> bool:
        known = before.get(start.execution_id)
        return known is not None and may_move(known.status, ExecutionStatus.RUNNING)

    return [(group_sqlite, "_may_start", may_start)]


@bug("cross-cell")
def redirect_taken_as_an_empty_success() -> list[Patch]:
    real = Exchange._refusal

    def refusal(self: Any, response: Any, text: str) -> Any:
        return self._answer(response) if response.status == 303 else real(self, response, text)

    return [(Exchange, "_refusal", refusal)]


@bug("cross-cell")
def another_region_taken_for_the_one_that_was_asked() -> list[Patch]:
    return [
        (Exchange, "_region_fault", lambda *_: None),
        (Visit, "_region_fault", lambda *_: None),
    ]


@bug("cross-cell")
def another_model_taken_for_the_one_that_was_asked() -> list[Patch]:
    return [(Provider, "accepts_echo", lambda *_: True)]


@bug("time")
def queue_time_counted_in_the_duration() -> list[Patch]:
    real = attempt.finish_of

    def finish_of(work: Any, *args: Any, **more: Any) -> Any:
        made = real(work, *args, **more)
        return replace(made, duration_ms=1000 * (made.finished_at - work.execution.queued_at))

    return [(attempt, "finish_of", finish_of)]


@bug("cross-cell")
def result_of_another_key_accepted() -> list[Patch]:
    real = AgentTransport._read

    async def read(self: Any, response: Any) -> Any:
        reply = await real(self, response)
        if reply.entry is None:
            return reply
        return replace(reply, entry=reply.entry.model_copy(update={"key": response.url.name}))

    return [(AgentTransport, "_read", read)]


@bug("finalized twice")
def two_finalizers_at_once() -> list[Patch]:
    def take(connection: Any, job_id: str, *_: Any) -> bool:
        status = connection.scalar(select(jobs.c.status).where(jobs.c.id == job_id))
        return bool(status == JobStatus.FINALIZING.value)

    return [(leases, "take_finalizing", take)]


@bug("lost", favour="zombies")
def late_answer_of_a_cancelled_job_lost() -> list[Patch]:
    return [(group_sqlite, "_write_refused", lambda *_: None)]


@bug("sent unasked")
def sent_again_without_asking_first() -> list[Patch]:
    return [(Recovery, "can_fetch", lambda *_: False)]


@bug("events")
def event_lost_on_a_group_commit() -> list[Patch]:
    real = ledger.append_event

    def append(connection: Any, row: Any, now: float, kind: str, data: Any) -> None:
        if kind != "group" or row.seq % 5:
            real(connection, row, now, kind, data)

    return [(ledger, "append_event", append)]


@bug("sent twice")
def request_repeated_after_a_cut() -> list[Patch]:
    real = OpenAITransport._post

    async def post(self: Any, exchange: Any) -> Any:
        try:
            return await real(self, exchange)
        except ServerDisconnectedError:
            return await real(self, exchange)

    return [(OpenAITransport, "_post", post)]


@bug("leak", "stuck", favour="disk")
def slot_of_a_cancelled_attempt_kept() -> list[Patch]:
    def launch(self: Any, work: Any, placement: Any) -> None:
        self._tasks.create_task(self._execute(work, placement))

    return [(Drive, "_launch", launch)]


@bug("stuck", "counts")
def reopened_shard_counted_as_done() -> list[Patch]:
    real = interventions.reopen

    def reopen(connection: Any, job_id: str, *args: Any) -> Any:
        opened = real(connection, job_id, *args)
        connection.execute(update(shards).where(shards.c.job_id == job_id).values(done=shards.c.size))
        return opened

    return [(interventions, "reopen", reopen)]


@bug("sent unasked")
def provider_of_the_last_attempt_forgotten() -> list[Patch]:
    real = attempt.end_unsent
    return [(attempt, "end_unsent", lambda *args: replace(real(*args), provider=None))]


@bug("lost", "sent unasked", favour="late")
def earlier_answer_not_looked_for_in_a_takeover() -> list[Patch]:
    async def look_back(*_: Any) -> None:
        return None

    return [(Recovery, "look_back", look_back)]


@bug("duplicate", "status")
def result_recorded_over_an_earlier_end() -> list[Patch]:
    return [(group_sqlite, "_may_finish", lambda finish, before: finish.execution_id in before)]


@bug("limits", "stuck", favour="late")
def deadline_of_an_execution_ignored() -> list[Patch]:
    return [edit(attempt, "set_deadline", "spec.limits.execution_deadline", "3600")]


@bug("limits")
def deadline_anew_with_each_attempt() -> list[Patch]:
    return [edit(attempt, "set_deadline", "work.deadline or Deadline", "Deadline")]


@bug("limits", favour="limits")
def cost_ceiling_looked_at_only_before_the_job() -> list[Patch]:
    return [
        edit(Drive, "_note", "if ceiling is not None and", "if False and"),
        edit(Runner, "_stop_as_asked", "elif limits.max_cost_usd is not None and", "elif False and"),
    ]


@bug("limits", favour="limits")
def limits_forgotten_by_whoever_takes_over() -> list[Patch]:
    return [edit(Runner, "_drive", "await self._stop_as_asked(drive, job)", "pass")]


@bug("limits", favour="limits")
def deadline_of_a_job_ignored() -> list[Patch]:
    return [edit(Runner, "_stop_as_asked", "elif await self._is_past", "elif False and await self._is_past")]


@bug("limits")
def one_attempt_too_many() -> list[Patch]:
    made = instead(policy, "conclude", "counted >= limits", "counted > limits")
    return [(drive, "conclude", made), (recovery, "conclude", made)]


@bug("limits")
def one_attempt_too_few() -> list[Patch]:
    made = instead(policy, "conclude", "counted >= limits", "counted + 1 >= limits")
    return [(drive, "conclude", made), (recovery, "conclude", made)]


@bug("limits", favour="limits")
def asked_anew_although_the_job_forbids_it() -> list[Patch]:
    return [edit(policy, "may_be_retried", 'limits.on_unknown == "retry"', "True")]


@bug("reason")
def stragglers_end_without_a_reason() -> list[Patch]:
    def without(real: Any) -> Any:
        def end(*args: Any) -> Any:
            made = real(*args)
            return replace(made, kind=None, stage=None, error=None) if made.kind == FailureKind.STRAGGLER else made

        return end

    return [(attempt, name, without(getattr(attempt, name))) for name in ("end_unsent", "end_under_way")]


@bug("reason")
def whatever_is_stopped_is_said_to_be_cancelled() -> list[Patch]:
    real = attempt.stopped
    return [(attempt, "stopped", lambda _: real(FailureKind.CANCELLED))]


@bug("order")
def newest_sent_first() -> list[Patch]:
    return [edit(Lane, "run", "self._queue.popleft()", "self._queue.pop()")]


@bug("sent unasked", favour="late")
def operators_retry_asks_anew_at_once() -> list[Patch]:
    was_running = "and execution.status is ExecutionStatus.RUNNING"
    return [edit(Drive, "_work", "can_fetch(work)", f"can_fetch(work) {was_running}")]


@bug("unfenced")
def takeover_without_a_new_epoch() -> list[Patch]:
    return [edit(leases, "take_shard", "epoch=shards.c.epoch + 1, ", "")]


@bug("stuck")
def resumed_provider_stays_paused() -> list[Patch]:
    return [edit(Router, "resume", 'lane.resume("an operator said so")', "pass")]


@bug("paused")
def pause_forgotten_by_a_restart() -> list[Patch]:
    real = Pausing.follow

    async def follow(self: Any) -> None:
        if not hasattr(self, "_looked"):
            self._looked = True
            self._paused = {pause.name for pause in await self._database.read(pauses.current)}
        await real(self)

    return [(Pausing, "follow", follow)]


@bug("paused")
def pause_of_a_region_ignored() -> list[Patch]:
    return [edit(Router, "_pause_as_asked", " or self._paused.get(lane.provider.region)", "")]


@bug("cross-cell")
def lane_of_another_region_taken_when_all_are_busy() -> list[Patch]:
    real = Router._candidates

    def candidates(self: Any, model: str, region: str, *args: Any) -> Any:
        lanes = real(self, model, region, *args)
        if any(lane.slots.free() for lane in lanes):
            return lanes
        return [lane for lane in self._registry.lanes.values() if model in lane.provider.models]

    return [(Router, "_candidates", candidates), (Placement, "_check", lambda *_: None)]


@bug("evidence")
def receipts_of_an_earlier_attempt() -> list[Patch]:
    real = evidence.facts

    def facts(*args: Any, **more: Any) -> Any:
        return [replace(row, attempt_key=row.attempt_key and f"{row.execution_id}.1") for row in real(*args, **more)]

    return [(evidence, "facts", facts)]


@bug("evidence", "fell", "stuck")
def receipts_of_an_interrupted_sealing_left_there() -> list[Patch]:
    return [edit(evidence, "begin_sealing", "connection.execute(delete(receipts).where(left))", "pass")]


@bug("counts", "events")
def counts_of_the_job_drift_from_its_rows() -> list[Patch]:
    known = "Counter(before[execution_id].status for execution_id in moved"
    waiting = " if before[execution_id].status is not ExecutionStatus.RETRYING"
    return [edit(group_sqlite, "_close", known, known + waiting)]


@bug("status")
def cancelled_job_closed_as_completed() -> list[Patch]:
    asked = "JobStatus.CANCELLED if stopped_by_user else JobStatus.COMPLETED"
    return [(runner, "finalize", instead(finalize, "finalize", asked, "JobStatus.COMPLETED"))]


@bug("status")
def verdict_of_any_region_in_place_of_all() -> list[Patch]:
    return [edit(finalize, "verdict_of", "len(spec.regions) if", "1 if")]


@bug("stopped")
def written_ahead_after_a_stop() -> list[Patch]:
    return [edit(group_sqlite, "record", " and job.stop_kind is None", "")]


@bug("time", favour="jumps")
def durations_by_a_clock_that_is_set() -> list[Patch]:
    real = attempt.finish_of

    def finish_of(work: Any, provider: str, outcome: Any, conclusion: Any, clock: Any, **more: Any) -> Any:
        made = real(work, provider, outcome, conclusion, clock, **more)
        return replace(made, duration_ms=1000 * (clock.wall() - made.started_at))

    return [(attempt, "finish_of", finish_of)]
