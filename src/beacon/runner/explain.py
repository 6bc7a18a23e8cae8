"""What became of one execution: where its time went, or what it waits for now, since when and until when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from beacon.domain.failure import Stage
from beacon.domain.fleet import Fleet
from beacon.domain.states import TERMINAL, ExecutionStatus, JobStatus
from beacon.domain.waterfall import AttemptTimes, Waterfall, waterfall
from beacon.runner.owner import is_dead
from beacon.store import executions, jobs, leases, workers
from beacon.store.database import Database
from beacon.store.group_items import CHOSEN


class ProviderView(Protocol):
    """What a router in this process knows of a provider now.

    `blocked_until`, and `start_expected_at` where it is starting, are in seconds since the epoch.
    """

    @property
    def name(self) -> str: ...
    @property
    def blocked_until(self) -> float | None: ...
    @property
    def blocked_why(self) -> str | None: ...
    @property
    def start_expected_at(self) -> float | None: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def limit(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """`what` continues "waits for"; moments are seconds since the epoch, None where nobody knows."""

    what: str
    stage: str
    since: float | None
    until: float | None


@dataclass(frozen=True, slots=True)
class AttemptTold:
    """`chosen` is why its provider was chosen; None where it was the only one, and until the attempt ended."""

    number: int
    provider: str
    status: str
    kind: str | None
    stage: str | None
    error: str | None
    counts: bool
    written_at: float
    finished_at: float | None
    chosen: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Moments are seconds since the epoch. `waits_for` is None for an execution that is over, `waterfall` where
    no time was recorded yet. `asked_at` is when this was told."""

    execution_id: str
    job_id: str
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: str
    provider: str | None
    kind: str | None
    stage: str | None
    error: str | None
    queued_at: float
    finished_at: float | None
    persisted_at: float | None
    deadline_at: float | None
    asked_at: float
    attempts: tuple[AttemptTold, ...]
    waterfall: Waterfall | None
    waits_for: Waiting | None


async def explain(
    database: Database, execution_id: str, now: float, providers: Sequence[ProviderView] = ()
) -> Explanation:
    """`providers` are those of the router that sends the execution, where it is known. Raises NotFoundError."""
    row = await database.read(executions.get, execution_id)
    attempts = await database.read(executions.attempts_of, execution_id)
    over = ExecutionStatus(row["status"]) in TERMINAL
    waits_for = None if over else await _waiting(database, row, attempts, now, providers)
    same = {name: row[name] for name in Explanation.__dataclass_fields__ if name in row and name != "attempts"}
    told = [_told(attempt) for attempt in attempts]
    return Explanation(
        execution_id=execution_id,
        asked_at=now,
        attempts=tuple(told),
        waterfall=waterfall(row["queued_at"], times_of(attempts), row["persisted_at"]),
        waits_for=waits_for,
        **same,
    )


def _told(attempt: dict[str, Any]) -> AttemptTold:
    chosen = json.loads(attempt["stages_json"] or "{}").get(CHOSEN)
    same = {name: attempt[name] for name in AttemptTold.__dataclass_fields__ if name != "chosen"}
    return AttemptTold(**same, chosen=chosen)


def times_of(attempts: Sequence[dict[str, Any]]) -> list[AttemptTimes]:
    """The attempts that ended with their times recorded."""
    return [
        AttemptTimes(a["number"], a["status"], a["stage"], a["finished_at"], _stages(a["stages_json"]))
        for a in attempts
        if a["stages_json"] and a["finished_at"] is not None
    ]


def _stages(text: str) -> dict[str, float]:
    return {name: float(took) for name, took in json.loads(text).items() if isinstance(took, int | float)}


async def _waiting(
    database: Database,
    row: dict[str, Any],
    attempts: Sequence[dict[str, Any]],
    now: float,
    providers: Sequence[ProviderView],
) -> Waiting:
    job = await database.read(jobs.get, row["job_id"])
    owners = await database.read(leases.owners_of, job.id)
    since = _last_end(attempts) or row["queued_at"]
    unserved = await database.read(workers.unserved, now, [owner for owner in owners if is_dead(owner)], job.id)
    for lacking in unserved:
        if lacking.region == row["region"]:
            return Waiting(f"a worker of its region: {lacking.why}; {lacking.todo}", Stage.QUEUE.value, since, None)
    if all(is_dead(owner) for owner in owners):
        what = "a process that runs the job: none does"
        if job.status is not JobStatus.QUEUED:
            what += f"; `beacon run --resume {job.id}` goes on with it"
        return Waiting(what, Stage.QUEUE.value, since, None)
    fleet = await database.read(jobs.fleet_of, job.id)
    if row["status"] == ExecutionStatus.RUNNING:
        limit = (await database.read(jobs.spec_of, job.id)).limits.execution_deadline
        return _under_way(row, attempts[-1], fleet, limit)
    next_at = row["next_attempt_at"]
    if row["status"] == ExecutionStatus.RETRYING and next_at is not None and next_at > now:
        what = f"its next attempt, after a pause because of {row['kind']}"
        return Waiting(what, Stage.QUEUE.value, since, next_at)
    return _for_a_slot(row, fleet, since, now, providers)


def _last_end(attempts: Sequence[dict[str, Any]]) -> float | None:
    ends = [attempt["finished_at"] for attempt in attempts if attempt["finished_at"] is not None]
    return max(ends, default=None)


def _under_way(row: dict[str, Any], attempt: dict[str, Any], fleet: Fleet, limit_s: float) -> Waiting:
    """The deadline of an attempt that may begin with a cold start is later than the execution's own time."""
    provider, since, until = attempt["provider"], attempt["written_at"], row["deadline_at"]
    cold = {p.name: p.cold_start for p in fleet.providers}.get(provider, 0.0)
    starting = cold > 0 and until is not None and until - since > limit_s + 0.5 * cold
    what = f"the answer of {provider} to attempt {attempt['number']}"
    if starting:
        what += f", which was not known to be warm: its cold start may take {cold:g} s"
    return Waiting(what, (Stage.COLD_START if starting else Stage.INFERENCE).value, since, until)


def _for_a_slot(
    row: dict[str, Any], fleet: Fleet, since: float, now: float, providers: Sequence[ProviderView]
) -> Waiting:
    names = [provider.name for provider in fleet.serving(row["model"], row["region"])]
    here = {view.name: view for view in providers if view.name in names}
    starts = [view.start_expected_at for view in here.values() if view.start_expected_at is not None]
    if starts and len(starts) == len(names):
        what = f"the start of {', '.join(here)}, which takes no more work until it is there"
        return Waiting(what, Stage.COLD_START.value, since, min(starts))
    blocked = [view for view in here.values() if view.blocked_until is not None and view.blocked_until > now]
    if blocked and len(blocked) == len(names):
        until = min(view.blocked_until or now for view in blocked)
        why = "; ".join(f"{view.name} {view.blocked_why}" for view in blocked)
        return Waiting(f"a provider that may be asked again: {why}", Stage.ROUTE.value, since, until)
    busy = "; ".join(_busy(view) for view in here.values())
    what = f"its turn at {', '.join(names) or 'a provider: none serves it'}"
    if row["status"] == ExecutionStatus.RETRYING:
        what += ", or for the retry budget where much of its cell fails"
    return Waiting(f"{what} ({busy})" if busy else what, Stage.ROUTE.value, since, row["deadline_at"])


def _busy(view: ProviderView) -> str:
    return f"{view.name} {view.blocked_why or f'has {view.in_flight} of {view.limit} slots in use'}"
