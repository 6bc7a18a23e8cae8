"""The mailbox: work is accepted once by its key, done within its deadline, and its outcome kept to be read."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import structlog

from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.mailbox import MAX_WAIT_S, MailboxEntry, MailboxError, MailboxState, Submission
from beacon.mailbox.state import Accepted, Begun, Ended, StateFile
from beacon.mailbox.worker import Slot, Worker, unserved

log = structlog.get_logger()
Result = TypeVar("Result")

PURGE_EVERY_S = 60.0
"""How often answers that were kept for their time are removed."""
PAUSE_BEFORE_RECORDING_AGAIN_S = 1.0
"""An outcome that could not be written, because the disk is full, is held in memory and written later."""
RETRY_AFTER_S = 1.0
"""How long work that was refused because the queue is full should be kept away."""
_LOST = MailboxError(
    kind=FailureKind.RESULT_LOST.value,
    stage=Stage.INFERENCE.value,
    message="it was stopped while the inference server was working on this, and the answer is gone",
)


class OtherBodyError(Exception):
    """The key is taken by other work."""


@dataclass(slots=True, eq=False)
class _Live:
    """Work that has not ended, or has just ended: `ended` is there and `over` is set once its end is committed.

    `slot` is the right to ask that is its own, from `began` on. `taken_over` work was begun by an earlier process.
    """

    work: Accepted
    deadline: Deadline
    since: float
    slot: Slot | None = None
    began: float | None = None
    taken_over: bool = False
    withdrawn: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    ended: Ended | None = None
    finished_at: float | None = None

    def begin(self, slot: Slot, now: float) -> None:
        self.slot, self.began = slot, now
        self.work = replace(self.work, provider=slot.provider, upstream_model=slot.upstream_model)

    def row(self) -> dict[str, Any]:
        """As the state file would tell it."""
        work, ended = self.work, self.ended
        under_way = MailboxState.ACCEPTED if self.began is None else MailboxState.RUNNING
        return {
            "key": work.key,
            "digest": work.digest,
            "region": work.region,
            "model": work.model,
            "upstream_model": work.upstream_model,
            "provider": work.provider,
            "finished_at": self.finished_at,
            **(ended.row() if ended is not None else Ended(under_way, {}).row()),
        }


class Mailbox:
    """Use `async with`: it takes up what an earlier process left in the state file, and ends by leaving its own there.

    Up to `max_queued` submissions wait in order for a slot of the `worker`; work beyond that is refused. What has
    ended is forgotten after `keep_s` seconds.
    """

    def __init__(self, state: StateFile, worker: Worker, clock: Clock, *, keep_s: float, max_queued: int) -> None:
        self.keep_s = keep_s
        self.max_queued = max_queued
        self._state = state
        self._worker = worker
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._being_accepted = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Mailbox:
        for work, begun in await self._state.left_over():
            self._take_up(work, None, taken_over=begun)
        self._start(self._purge_now_and_then())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Long reads return at once from now on."""
        for live in self._live.values():
            live.over.set()

    def counts(self) -> dict[str, int]:
        running = sum(live.began is not None for live in self._live.values())
        return {"running": running, "queued": len(self._live) - running}

    async def submit(self, key: str, submission: Submission, attempt: str | None) -> bool:
        """Commits the work under its key before it returns; whether it is new.

        Raises OtherBodyError, UnservedError, sqlite3.Error. Nobody may cancel it: what is committed must be done.
        """
        digest = _digest(submission)
        known = await self._row(key)
        if known is not None:
            return _same(known["digest"], digest)
        admitted = await self._worker.admit(submission)
        if submission.deadline_ms == 0:
            raise unserved(FailureKind.DEADLINE_EXPIRED, "the deadline has passed")
        now = self._clock.wall()
        work = Accepted(
            key=key,
            digest=digest,
            region=admitted.region,
            model=admitted.model,
            upstream_model=admitted.upstream_model,
            attempt=attempt,
            request=admitted.request,
            accepted_at=now,
            deadline_at=now + submission.deadline_ms / 1000,
            provider=admitted.provider,
        )
        return await self._accept(work)

    async def _accept(self, work: Accepted) -> bool:
        """Where there is room at once, who is about to be asked is committed in the same stroke."""
        slot = await self._worker.place_now(work)
        if slot is None and self.counts()["queued"] + self._being_accepted >= self.max_queued:
            what = f"its queue is full: {self.max_queued} wait for the inference server"
            raise unserved(FailureKind.RATE_LIMITED, what, status=429, retry_after_s=RETRY_AFTER_S)
        self._being_accepted += slot is None
        taken_by: str | None = ""
        try:
            taken_by = await self._state.accept(work, begun=None if slot is None else _begun(slot))
        finally:
            self._being_accepted -= slot is None
            if slot is not None and taken_by is not None:
                slot.release()
        if taken_by is not None:
            return _same(taken_by, work.digest)
        self._take_up(work, slot)
        return True

    async def read(self, key: str, wait_s: float = 0.0) -> MailboxEntry | None:
        """What is known under the key, None where nothing is; waits for an end for at most `MAX_WAIT_S`."""
        live = self._live.get(key)
        if live is not None and wait_s > 0:
            waiting = asyncio.ensure_future(live.over.wait())
            try:
                await asyncio.wait([waiting], timeout=min(wait_s, MAX_WAIT_S))
            finally:
                waiting.cancel()
        row = await self._row(key) if live is None else live.row()
        return None if row is None else self._entry(row)

    async def _row(self, key: str) -> dict[str, Any] | None:
        """From memory where the work is under way: the state file may be busy with others' syncs."""
        live = self._live.get(key)
        return await self._state.read(key) if live is None else live.row()

    async def cancel(self, key: str) -> MailboxEntry | None:
        """Ends the work if it has not ended; what is known under the key then."""
        live = self._live.get(key)
        if live is not None:
            live.withdrawn.set()
            await live.over.wait()
        return await self.read(key)

    def _take_up(self, work: Accepted, slot: Slot | None, *, taken_over: bool = False) -> None:
        deadline = Deadline.after(work.deadline_at - self._clock.wall(), self._clock)
        now = self._clock.monotonic()
        began = now if taken_over else None
        live = _Live(work, deadline, since=now, began=began, taken_over=taken_over)
        if slot is not None:
            live.begin(slot, now)
        self._live[work.key] = live
        self._start(self._see_through(live))

    def _start(self, coroutine: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _see_through(self, live: _Live) -> None:
        """Does the work until it ends, its deadline passes or it is withdrawn, and commits how it ended."""
        doing = self._start(self._do(live))
        withdrawn = self._start(live.withdrawn.wait())
        try:
            await asyncio.wait({doing, withdrawn}, return_when=asyncio.FIRST_COMPLETED)
            doing.cancel()
            await asyncio.wait({doing})
        finally:
            doing.cancel()
            withdrawn.cancel()
            if live.slot is not None:
                live.slot.release()
        ended = None if doing.cancelled() else doing.result()
        if ended is None and live.withdrawn.is_set():
            await self._worker.withdraw(live.work)
        await self._record(live, ended or self._given_up(live))

    async def _do(self, live: _Live) -> Ended | None:
        """None where the deadline passed."""
        work = live.work
        if live.taken_over:
            return await self._worker.take_over(work, live.deadline) or Ended(MailboxState.LOST, {}, error=_LOST)
        if live.slot is None:
            try:
                async with asyncio.timeout(live.deadline.left_s()):
                    slot = await self._worker.place(work)
            except TimeoutError:
                return None
            live.begin(slot, self._clock.monotonic())
            try:
                await self._state.begin(work.key, _begun(slot))
            except sqlite3.Error as error:
                # Without a record that it began, a restart would ask for it a second time.
                return self._not_begun(live, error)
        assert live.slot is not None
        return await live.slot.do(live.work, live.deadline, self._waited_ms(live), partial(self._note, live))

    async def _note(self, live: _Live, reference: str) -> None:
        await self._state.note(live.work.key, reference)
        live.work = replace(live.work, reference=reference)

    async def _record(self, live: _Live, ended: Ended) -> None:
        while True:
            finished_at = self._clock.wall()
            try:
                await self._state.end(live.work.key, ended, finished_at)
            except sqlite3.Error as error:
                log.error("an outcome cannot be written yet", key=live.work.key, why=str(error))
                await asyncio.sleep(PAUSE_BEFORE_RECORDING_AGAIN_S)
            else:
                break
        live.ended, live.finished_at = ended, finished_at
        del self._live[live.work.key]
        live.over.set()

    def _waited_ms(self, live: _Live) -> float:
        began = self._clock.monotonic() if live.began is None else live.began
        return 1000 * (began - live.since)

    def _given_up(self, live: _Live) -> Ended:
        """The end of work that was withdrawn, or whose deadline has passed, with the time of each stage."""
        waited_ms = self._waited_ms(live)
        stages = {Stage.QUEUE.value: waited_ms}
        stage = Stage.QUEUE
        if live.began is not None:
            stage = Stage.INFERENCE
            stages[stage.value] = 1000 * (self._clock.monotonic() - live.began)
        if live.withdrawn.is_set():
            kind, what = FailureKind.CANCELLED, "it was cancelled"
            error = MailboxError(kind=kind.value, stage=stage.value, message=what)
            return Ended(MailboxState.CANCELLED, stages, error=error)
        if live.began is None:
            error = self._worker.expired_in_queue(live.work, waited_ms)
        else:
            what = "the deadline passed while the inference server was working on this"
            error = MailboxError(kind=FailureKind.DEADLINE_EXPIRED.value, stage=stage.value, message=what)
        return Ended(MailboxState.EXPIRED, stages, error=error)

    def _not_begun(self, live: _Live, error: sqlite3.Error) -> Ended:
        what = f"its state file cannot be written: {error}"
        fault = MailboxError(kind=FailureKind.PROVIDER_ERROR.value, stage=Stage.QUEUE.value, message=what)
        return Ended(MailboxState.FAILED, {Stage.QUEUE.value: self._waited_ms(live)}, error=fault)

    async def _purge_now_and_then(self) -> None:
        while True:
            try:
                await self._state.purge(self._clock.wall() - self.keep_s)
            except sqlite3.Error as error:
                log.error("old outcomes cannot be deleted", why=str(error))
            await asyncio.sleep(min(PURGE_EVERY_S, self.keep_s))

    def _entry(self, row: dict[str, Any]) -> MailboxEntry:
        finished_at, response, error = row["finished_at"], row["response_json"], row["error_json"]
        provider, how_known = self._worker.origin(row)
        return MailboxEntry(
            key=row["key"],
            state=row["state"],
            response=None if response is None else json.loads(response),
            response_sha256=row["response_sha256"],
            error=None if error is None else MailboxError.model_validate_json(error),
            stages_ms=json.loads(row["stages_json"]),
            region=row["region"],
            model=row["model"],
            provider=provider,
            upstream_model=row["upstream_model"] or None,
            how_known=how_known,
            simulated=bool(row["simulated"]),
            finished_ago_ms=None if finished_at is None else max(0.0, 1000 * (self._clock.wall() - finished_at)),
            **json.loads(row["route_json"] or "{}"),
        )


def _begun(slot: Slot) -> Begun:
    return Begun(slot.provider, slot.upstream_model)


def _digest(submission: Submission) -> str:
    """Of all but the deadline, which is less each time that the same work is submitted again."""
    what = [submission.region, submission.model, submission.request]
    if submission.provider is not None:
        what.append(submission.provider)
    return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _same(known: str, digest: str) -> bool:
    """False: the work is known already. Raises OtherBodyError where it is another."""
    if known != digest:
        raise OtherBodyError
    return False
