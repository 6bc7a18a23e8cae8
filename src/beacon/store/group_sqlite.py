"""The group commit on SQLite: one transaction on the writer's thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from beacon.domain.states import TERMINAL, ExecutionStatus, JobStatus, may_move
from beacon.errors import NotFoundError
from beacon.store import ledger
from beacon.store.bulk import Insert, Lookup, Row, Update
from beacon.store.group_items import Finish, Noted, Recorded, Start, kept, stages_json
from beacon.store.ledger import Advance, JobRow
from beacon.store.tables import attempts, executions, jobs, results, shards

_STATUS = {status.value: status for status in ExecutionStatus}


class _Before(NamedTuple):
    ordinal: int
    status: ExecutionStatus
    shard: int
    attempts: int


def record(
    connection: Connection,
    job_id: str,
    starts: Sequence[Start],
    finishes: Sequence[Finish],
    now: float,
    noted: Sequence[Noted],
) -> Recorded:
    """See `beacon.store.group.record_group`."""
    standing = select(jobs.c.seq, jobs.c.status, jobs.c.stop_kind, jobs.c.cost_usd).where(jobs.c.id == job_id)
    job = connection.execute(standing).first()
    if job is None:
        raise NotFoundError(f"no job {job_id!r}")
    ids = [start.execution_id for start in starts] + [finish.execution_id for finish in finishes]
    before = _states(connection, ids)
    epochs = _epochs(connection, job_id, {start.shard for start in starts})
    sending = job.status == JobStatus.RUNNING and job.stop_kind is None
    accepted = [start for start in starts if sending and _may_start(start, before, epochs)]
    ended = _one_each([finish for finish in finishes if _may_finish(finish, before)])
    _write_starts(connection, accepted)
    _NOTE_CALL.execute(connection, [(note.attempt_id, note.call_id) for note in noted])
    _write_finishes(connection, ended, now)
    taken = {id(finish) for finish in ended}
    _write_refused(connection, [finish for finish in finishes if id(finish) not in taken])
    started = frozenset(start.attempt_id for start in accepted)
    moved = {start.execution_id: ExecutionStatus.RUNNING for start in accepted}
    moved |= {finish.execution_id: finish.status for finish in ended}
    if not moved:
        return Recorded(job.seq, JobStatus(job.status), job.stop_kind, job.cost_usd, started, frozenset())
    row = _close(connection, job_id, before, moved, ended, now)
    return Recorded(row.seq, row.status, job.stop_kind, row.cost_usd, started, frozenset(moved))


def _may_start(start: Start, before: dict[str, _Before], epochs: dict[int, int]) -> bool:
    known = before.get(start.execution_id)
    unfenced = epochs.get(start.shard) == start.epoch
    return known is not None and unfenced and may_move(known.status, ExecutionStatus.RUNNING)


def _may_finish(finish: Finish, before: dict[str, _Before]) -> bool:
    """An answer is taken from whichever attempt has it first; any other end only from the newest attempt.

    What is over stays so: only an operator's retry reopens it.
    """
    known = before.get(finish.execution_id)
    if known is None or known.status in TERMINAL or not may_move(known.status, finish.status):
        return False
    newest = finish.number is None or finish.number == known.attempts
    return newest or finish.status is ExecutionStatus.COMPLETED


def _one_each(finishes: Sequence[Finish]) -> list[Finish]:
    """One end an execution: an answer before any other, else the first."""
    chosen: dict[str, Finish] = {}
    for finish in finishes:
        known = chosen.get(finish.execution_id)
        answers = finish.status is ExecutionStatus.COMPLETED
        if known is None or (answers and known.status is not ExecutionStatus.COMPLETED):
            chosen[finish.execution_id] = finish
    return list(chosen.values())


_STATES = Lookup(executions, "id", ("id", "ordinal", "status", "shard", "attempts"))


def _states(connection: Connection, ids: Sequence[str]) -> dict[str, _Before]:
    rows = _STATES.execute(connection, ids)
    return {key: _Before(ordinal, _STATUS[status], shard, tried) for key, ordinal, status, shard, tried in rows}


def _epochs(connection: Connection, job_id: str, numbers: set[int]) -> dict[int, int]:
    if not numbers:
        return {}
    query = select(shards.c.number, shards.c.epoch).where(shards.c.job_id == job_id, shards.c.number.in_(numbers))
    return {row.number: row.epoch for row in connection.execute(query)}


_INSERT_ATTEMPT = Insert(
    attempts,
    ("id", "execution_id", "number", "epoch", "provider", "written_at"),
    fixed={"status": "'sent'", "counts": "true"},
)
_NOTE_CALL = Update(attempts, "id", ("call_id",))
_NO_FAILURE = {"kind": "NULL", "stage": "NULL", "error": "NULL"}
_START_EXECUTION = Update(
    executions,
    "id",
    ("attempts", "provider", "deadline_at"),
    fixed={"status": f"'{ExecutionStatus.RUNNING.value}'", "next_attempt_at": "NULL", **_NO_FAILURE},
)

# An answer's end has statements of its own: most ends are answers, and what is the same for all of them costs nothing.
_ANSWER_ATTEMPT = Update(
    attempts,
    "id",
    ("started_at", "finished_at", "stages_json"),
    fixed={"status": "'answered'", "counts": "true", "kept_json": "NULL", **_NO_FAILURE},
)
_ANSWER_EXECUTION = Update(
    executions,
    "id",
    ("provider", "started_at", "first_token_at", "finished_at", "persisted_at", "duration_ms"),
    fixed={
        "status": f"'{ExecutionStatus.COMPLETED.value}'",
        "counted": "counted + 1",
        "next_attempt_at": "NULL",
        **_NO_FAILURE,
    },
)
_OF_ANSWER = (
    *("finish_reason", "retracted", "provider", "model_echoed", "region_stated", "region_evidence", "upstream"),
    *("input_tokens", "output_tokens", "cost_usd", "simulated", "replayed", "served_at"),
)
_described = attrgetter(*_OF_ANSWER)
_INSERT_RESULT = Insert(results, ("execution_id", "attempt_id", "answer", *_OF_ANSWER))

_OF_ATTEMPT = ("status", "kind", "stage", "error", "counts", "started_at", "finished_at", "stages_json", "kept_json")
_END_ATTEMPT = Update(attempts, "id", _OF_ATTEMPT)
_REFUSE_ATTEMPT = Update(
    attempts,
    "id",
    _OF_ATTEMPT,
    # Whoever did not hear of an attempt's answer may end it once more, without one or with the very same: it stays.
    only="""CASE WHEN given.kept_json IS NULL THEN attempts.status <> 'answered' AND attempts.kept_json IS NULL
        ELSE NOT EXISTS (SELECT 1 FROM results WHERE results.execution_id = attempts.execution_id
            AND results.attempt_id = attempts.id AND results.answer = json_extract(given.kept_json, '$.text')) END""",
)
_OF_END = (
    *("status", "kind", "stage", "error", "provider", "started_at", "first_token_at", "finished_at"),
    *("persisted_at", "duration_ms", "next_attempt_at"),
)
_END_EXECUTION = Update(executions, "id", _OF_END, added=("counted",))


def _write_starts(connection: Connection, starts: Sequence[Start]) -> None:
    sent = [(s.attempt_id, s.execution_id, s.number, s.epoch, s.provider, s.written_at) for s in starts]
    _INSERT_ATTEMPT.execute(connection, sent)
    _START_EXECUTION.execute(connection, [(s.execution_id, s.number, s.provider, s.deadline_at) for s in starts])


def _write_finishes(connection: Connection, finishes: Sequence[Finish], now: float) -> None:
    _write_answers(connection, [finish for finish in finishes if finish.answer is not None], now)
    others = [finish for finish in finishes if finish.answer is None]
    _END_ATTEMPT.execute(connection, [_attempt_row(f, f.attempt_status, f.kept) for f in others if f.attempt_id])
    _END_EXECUTION.execute(connection, [_execution_row(finish, now) for finish in others])


def _write_answers(connection: Connection, finishes: Sequence[Finish], now: float) -> None:
    attempted = [(f.attempt_id, f.started_at, f.finished_at, stages_json(f)) for f in finishes]
    _ANSWER_ATTEMPT.execute(connection, attempted)
    moved = [
        (f.execution_id, f.provider, f.started_at, f.first_token_at, f.finished_at, now, f.duration_ms)
        for f in finishes
    ]
    _ANSWER_EXECUTION.execute(connection, moved)
    answered = [
        (f.execution_id, f.attempt_id, f.answer.text, *_described(f.answer)) for f in finishes if f.answer is not None
    ]
    _INSERT_RESULT.execute(connection, answered)


def _write_refused(connection: Connection, finishes: Sequence[Finish]) -> None:
    """Another outcome was first and stays; the attempt says so, and keeps its answer as evidence."""
    rows = [
        _attempt_row(finish, "refused", kept(finish.answer) if finish.answer else finish.kept)
        for finish in sorted(finishes, key=lambda finish: finish.answer is not None or finish.kept is not None)
        if finish.attempt_id
    ]
    # One row an attempt: of several the last, which keeps an answer where one of them does.
    _REFUSE_ATTEMPT.execute(connection, list({row[0]: row for row in rows}.values()))


def _attempt_row(finish: Finish, status: str, kept_json: str | None) -> Row:
    why = (finish.kind, finish.stage, finish.error, finish.counts)
    return (finish.attempt_id, status, *why, finish.started_at, finish.finished_at, stages_json(finish), kept_json)


def _execution_row(finish: Finish, now: float) -> Row:
    over = finish.status in TERMINAL
    why = (finish.kind, finish.stage, finish.error, finish.provider)
    begun = (finish.started_at, finish.first_token_at)
    ended = (finish.finished_at, now) if over else (None, None)
    counted = int(finish.counts and finish.attempt_id is not None)
    times = (finish.duration_ms, finish.next_attempt_at)
    return (finish.execution_id, finish.status.value, *why, *begun, *ended, *times, counted)


_SHARD_DONE = (
    update(shards)
    .where(shards.c.job_id == bindparam("of_job"), shards.c.number == bindparam("of_shard"))
    .values(done=shards.c.done + bindparam("more"))
)


def _close(
    connection: Connection,
    job_id: str,
    before: dict[str, _Before],
    moved: dict[str, ExecutionStatus],
    ended: Sequence[Finish],
    now: float,
) -> JobRow:
    """Parts 2 and 3: counts, `seq`, barrier, event."""
    change: Counter[str] = Counter(moved.values())
    change.subtract(Counter(before[execution_id].status for execution_id in moved))
    done_by_shard = Counter(before[execution_id].shard for execution_id, after in moved.items() if after in TERMINAL)
    for shard, count in done_by_shard.items():
        connection.execute(_SHARD_DONE, {"of_job": job_id, "of_shard": shard, "more": count})
    answers = [finish.answer for finish in ended if finish.answer is not None]
    last = max((finish.finished_at for finish in ended if finish.status in TERMINAL), default=None)
    advance = Advance(
        change,
        n_done=done_by_shard.total(),
        last_finished_at=last,
        cost_usd=sum(answer.cost_usd or 0.0 for answer in answers),
        cost_unknown=sum(answer.cost_usd is None for answer in answers),
        simulated=any(answer.simulated for answer in answers),
        replayed=any(answer.replayed for answer in answers),
    )
    row = ledger.advance(connection, job_id, advance, now)
    moves = [(before[execution_id].ordinal, after) for execution_id, after in moved.items()]
    ledger.append_event(connection, row, now, "group", {"moves": moves})
    return row
