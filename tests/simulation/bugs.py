"""Planted bugs: what the simulation must find. Each is a patch that only a test puts in; none stands in the product."""

from __future__ import annotations

import asyncio
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
from beacon.router.transports.agent import AgentTransport
from beacon.router.transports.exchange import Exchange
from beacon.router.transports.openai import OpenAITransport
from beacon.router.transports.visit import Visit
from beacon.runner import attempt
from beacon.runner.drive import Drive
from beacon.runner.recorder import Recorder
from beacon.runner.recovery import Recovery
from beacon.store import group_sqlite, interventions, leases, ledger
from beacon.store.group import Start
from beacon.store.tables import jobs, shards

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Bug:
    """`kinds` are the violations of which at least one must be found; `zombies` see `World`."""

    name: str
    kinds: tuple[str, ...]
    patches: Callable[[], list[Patch]]
    zombies: bool = False

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, put in self.patches():
                stack.enter_context(patch.object(owner, name, put))
            yield


BUGS: dict[str, Bug] = {}


def bug(*kinds: str, zombies: bool = False) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def add(patches: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        BUGS[patches.__name__] = Bug(patches.__name__, kinds, patches, zombies)
        return patches

    return add


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
    real = group_sqlite._execution_row

    def row(finish: Any, now: float) -> Any:
        made = real(finish, now)
        second = finish.status is ExecutionStatus.COMPLETED and (finish.number or 1) > 1
        return (made[0], ExecutionStatus.RETRYING.value, *made[2:]) if second else made

    return [(group_sqlite, "_execution_row", row)]


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


@bug("unfenced", zombies=True)
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


@bug("lost", zombies=True)
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


@bug("leak", "stuck")
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


@bug("lost")
def earlier_answer_not_looked_for_in_a_takeover() -> list[Patch]:
    async def look_back(*_: Any) -> None:
        return None

    return [(Recovery, "look_back", look_back)]


@bug("duplicate", "status")
def result_recorded_over_an_earlier_end() -> list[Patch]:
    return [(group_sqlite, "_may_finish", lambda finish, before: finish.execution_id in before)]
