"""Where the time of an execution went: its attempts one under the other, each with its stages in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beacon.domain.failure import Stage

_ENDED_WELL = frozenset({"answered", "sent"})
_ORDER = [stage.value for stage in Stage]


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """What is known of one attempt that ended: `stages_ms` are milliseconds per stage, `failed_in` is a stage."""

    number: int
    status: str
    failed_in: str | None
    finished_at: float
    stages_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Span:
    """One stage, in milliseconds from the moment of queueing; `lost` where the attempt failed in it."""

    stage: str
    begin_ms: float
    took_ms: float
    lost: bool = False


@dataclass(frozen=True, slots=True)
class AttemptSpans:
    number: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """`longest` is what took most, None where nothing took more than half of it all."""

    attempts: tuple[AttemptSpans, ...]
    total_ms: float
    longest: Span | None


def waterfall(
    queued_at: float, attempts: Sequence[AttemptTimes], persisted_at: float | None = None
) -> Waterfall | None:
    """None where no stage of any attempt was recorded.

    An attempt's stages are laid end to end before its `finished_at`: stages are durations of a monotonic clock,
    and only the moments at their ends come from the wall clock. Before the first attempt stands the wait in the
    queue, behind the last one the time until it was recorded (`persisted_at`, None where no outcome is).
    """
    laid = [attempt for attempt in attempts if attempt.stages_ms]
    if not laid:
        return None
    rows = [AttemptSpans(attempt.number, tuple(_spans(queued_at, attempt))) for attempt in laid]
    rows[0] = AttemptSpans(rows[0].number, (*_queue(rows[0]), *rows[0].spans))
    rows[-1] = AttemptSpans(rows[-1].number, (*rows[-1].spans, *_persist(rows[-1], queued_at, persisted_at)))
    every = [span for row in rows for span in row.spans]
    total = max(span.begin_ms + span.took_ms for span in every)
    longest = max(every, key=lambda span: span.took_ms)
    return Waterfall(tuple(rows), total, longest if longest.took_ms > 0.5 * total else None)


def _spans(queued_at: float, attempt: AttemptTimes) -> list[Span]:
    known = sorted(attempt.stages_ms, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    total = sum(attempt.stages_ms.values())
    begin = max(1000 * (attempt.finished_at - queued_at), total) - total
    spans = []
    for name in known:
        lost = attempt.status not in _ENDED_WELL and name == attempt.failed_in
        spans.append(Span(name, begin, attempt.stages_ms[name], lost))
        begin += attempt.stages_ms[name]
    return spans


def _queue(first: AttemptSpans) -> list[Span]:
    waited = first.spans[0].begin_ms
    return [Span(Stage.QUEUE.value, 0.0, waited)] if waited > 0 else []


def _persist(last: AttemptSpans, queued_at: float, persisted_at: float | None) -> list[Span]:
    end = last.spans[-1].begin_ms + last.spans[-1].took_ms
    took = 0.0 if persisted_at is None else 1000 * (persisted_at - queued_at) - end
    return [Span(Stage.PERSIST.value, end, took)] if took > 0 else []
