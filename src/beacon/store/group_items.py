"""What a group commit is made of: attempts that start, attempts that end, notes; and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from beacon.domain.answer import Answer
from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.domain.value import value


@value(frozen=True, slots=True)
class Start:
    """An attempt that is about to be sent: its write-ahead. Refused where the shard's epoch has moved on."""

    execution_id: str
    attempt_id: str
    number: int
    shard: int
    epoch: int
    provider: str
    written_at: float
    deadline_at: float


@value(frozen=True, slots=True)
class Finish:
    """How an attempt ended, and the status that its execution takes.

    `attempt_id` is None where the execution ended without a further attempt. `answer` is set exactly for
    `completed`; its attempt is then `answered`, and counts. `kept` is an answer that is no result but is kept as
    evidence, as JSON. `next_attempt_at` is when an execution that is retried may be sent again. `chosen` is why its
    provider was, where there was a choice.
    """

    execution_id: str
    attempt_id: str | None
    number: int | None
    shard: int
    status: ExecutionStatus
    attempt_status: str
    finished_at: float
    started_at: float | None = None
    first_token_at: float | None = None
    duration_ms: float | None = None
    provider: str | None = None
    answer: Answer | None = None
    kind: str | None = None
    stage: str | None = None
    error: str | None = None
    counts: bool = True
    stages_ms: dict[str, float] | None = None
    chosen: str | None = None
    kept: str | None = None
    next_attempt_at: float | None = None


@dataclass(frozen=True, slots=True)
class Noted:
    """How the provider itself refers to an attempt that is under way: the name under which its result is kept."""

    attempt_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a group did: attempts that may be sent, executions that moved, and where the job stands."""

    seq: int
    job_status: JobStatus
    stop_kind: str | None
    cost_usd: float
    started: frozenset[str]
    moved: frozenset[str]


CHOSEN = "chosen"
"""Under this name `Finish.chosen` stands beside an attempt's stages; every other value there is in milliseconds."""


_as_json = json.JSONEncoder().encode


def stages_json(finish: Finish) -> str | None:
    """An attempt's stages, and why its provider was chosen, as they are stored."""
    if finish.stages_ms is None:
        return None
    return _as_json(finish.stages_ms if finish.chosen is None else {**finish.stages_ms, CHOSEN: finish.chosen})


def kept(answer: Answer) -> str:
    """An answer that is no result, as it is kept on its attempt."""
    fields = ("text", "finish_reason", "model_echoed", "region_stated", "upstream")
    return json.dumps({name: getattr(answer, name) for name in fields}, ensure_ascii=False)
