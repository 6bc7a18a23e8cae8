"""The group commit on PostgreSQL: one call of a function in the database, which is one autocommitted statement.

As a transaction of several statements, a worker that is stopped in the middle would hold the job's row lock for as
long as it stands still, and no other worker could record anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, text

from beacon.domain.states import EXECUTION_MOVES, OPEN, TERMINAL, JobStatus
from beacon.errors import NotFoundError
from beacon.store.group_items import Finish, Noted, Recorded, Start, stages_json

_CALL = text(
    "SELECT beacon_record_group(:job, CAST(:starts AS jsonb), CAST(:ends AS jsonb), CAST(:notes AS jsonb), "
    "CAST(:moves AS text[]), :moment)"
)
_OPEN_MOVES = {before: allowed for before, allowed in EXECUTION_MOVES.items() if before in OPEN}
# What is over stays so: only an operator's retry reopens it.
_MOVES = [f"{before.value}>{after.value}" for before, allowed in _OPEN_MOVES.items() for after in allowed]


def record(
    connection: Connection,
    job_id: str,
    starts: Sequence[Start],
    finishes: Sequence[Finish],
    now: float,
    noted: Sequence[Noted],
) -> Recorded:
    """See `beacon.store.group.record_group`."""
    given = {
        "job": job_id,
        # Rows are touched in one order, whoever groups them.
        "starts": _json([_start(start) for start in sorted(starts, key=lambda start: start.execution_id)]),
        "ends": _json([_end(place, finish) for place, finish in enumerate(finishes)]),
        "notes": _json([{"attempt_id": note.attempt_id, "call_id": note.call_id} for note in noted]),
        "moves": _MOVES,
        "moment": now,
    }
    did: dict[str, Any] | None = connection.scalar(_CALL, given)
    if did is None:
        raise NotFoundError(f"no job {job_id!r}")
    return Recorded(
        seq=did["seq"],
        job_status=JobStatus(did["status"]),
        stop_kind=did["stop_kind"],
        cost_usd=did["cost_usd"],
        started=frozenset(did["started"]),
        moved=frozenset(did["moved"]),
    )


def _json(rows: list[dict[str, Any]]) -> str:
    """What is None is left out, which PostgreSQL reads as NULL: that is half of an answer's columns."""
    document = json.dumps([{name: value for name, value in row.items() if value is not None} for row in rows])
    if "\\u0000" in document:
        # PostgreSQL's text cannot hold a NUL; the character that stands for what cannot be shown takes its place.
        document = json.dumps([{name: _without_nul(value) for name, value in row.items()} for row in rows])
    return document


def _without_nul(value: Any) -> Any:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


_OF_START = tuple(Start.__dataclass_fields__)
_start_values = attrgetter(*_OF_START)


def _start(start: Start) -> dict[str, Any]:
    return dict(zip(_OF_START, _start_values(start), strict=True))


_PLAIN = (
    *("execution_id", "attempt_id", "number", "shard", "attempt_status", "finished_at", "started_at"),
    *("first_token_at", "duration_ms", "provider", "kind", "stage", "error", "counts", "next_attempt_at"),
)
_OF_ANSWER = (
    *("finish_reason", "retracted", "model_echoed", "region_stated", "region_evidence", "upstream"),
    *("input_tokens", "output_tokens", "cost_usd", "simulated", "replayed", "served_at"),
)


_plain_values, _answer_values = attrgetter(*_PLAIN), attrgetter(*_OF_ANSWER)


def _end(place: int, finish: Finish) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(_PLAIN, _plain_values(finish), strict=True))
    row |= {"place": place, "status": finish.status.value, "over": finish.status in TERMINAL}
    row |= {"stages_json": stages_json(finish), "kept_json": finish.kept}
    if finish.answer is not None:
        row.update(zip(_OF_ANSWER, _answer_values(finish.answer), strict=True))
        row |= {"answer": finish.answer.text, "served_by": finish.answer.provider}
    return row
