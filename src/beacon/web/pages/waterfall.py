"""Where the time of an execution went: its attempts one under the other, each with its stages in order."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beacon.domain.failure import Stage

_KINDS: dict[str, str] = {
    Stage.QUEUE: "w-wait",
    Stage.ROUTE: "w-own",
    Stage.CONNECT: "w-wait",
    Stage.COLD_START: "w-cold",
    Stage.INFERENCE: "w-work",
    Stage.FETCH: "w-wait",
    Stage.PERSIST: "w-own",
}
_ENDED_WELL = frozenset({"answered", "sent"})


@dataclass(frozen=True, slots=True)
class Span:
    """One stage: places in percent of the axis, times in milliseconds from the moment of queueing."""

    stage: str
    kind: str
    x: float
    width: float
    begin_ms: float
    took_ms: float


@dataclass(frozen=True, slots=True)
class AttemptSpans:
    number: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """`ticks` are labels at equal distances from 0 to the end of the axis; `longest` is what took most."""

    attempts: tuple[AttemptSpans, ...]
    ticks: tuple[str, ...]
    total_ms: float
    longest: Span | None


def waterfall(queued_at: float, attempts: Sequence[dict[str, Any]]) -> Waterfall | None:
    """None where no stage of any attempt was recorded.

    An attempt's stages are laid end to end before its `finished_at`: stages are durations of a monotonic clock,
    and only the moments at their ends come from the wall clock.
    """
    laid = [(a, _stages(a)) for a in attempts if a["stages_json"] and a["finished_at"] is not None]
    if not any(stages for _, stages in laid):
        return None
    total = max(1000 * (a["finished_at"] - queued_at) for a, _ in laid)
    total = max([total, *(sum(stages.values()) for _, stages in laid)])
    rows = []
    for attempt, stages in laid:
        end = max(1000 * (attempt["finished_at"] - queued_at), sum(stages.values()))
        rows.append(AttemptSpans(attempt["number"], tuple(_spans(attempt, stages, end, total))))
    every = [span for row in rows for span in row.spans]
    longest = max(every, key=lambda span: span.took_ms)
    axis = _axis(total)
    return Waterfall(tuple(rows), axis, total, longest if longest.took_ms > 0.5 * total else None)


def _stages(attempt: dict[str, Any]) -> dict[str, float]:
    found = json.loads(attempt["stages_json"])
    order = [stage.value for stage in Stage]
    known = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    return {name: float(found[name]) for name in known if isinstance(found[name], int | float)}


def _spans(attempt: dict[str, Any], stages: dict[str, float], end: float, total: float) -> list[Span]:
    spans, begin = [], end - sum(stages.values())
    scale = 100 / _ceiling(total)
    for name, took in stages.items():
        lost = attempt["status"] not in _ENDED_WELL and name == attempt["stage"]
        kind = "w-lost" if lost else _KINDS.get(name, "w-own")
        spans.append(Span(name, kind, begin * scale, max(took * scale, 0.15), begin, took))
        begin += took
    return spans


def _ceiling(total: float) -> float:
    """A round end of the axis in milliseconds: 1, 2, 4 or 8 times a power of ten, not below `total`."""
    base = 10 ** math.floor(math.log10(total)) if total > 0 else 1.0
    return next(base * step for step in (1, 2, 4, 8, 10) if base * step >= total * 0.9999)


def _axis(total: float) -> tuple[str, ...]:
    end = _ceiling(total)
    unit, divisor = ("s", 1000) if end >= 1000 else ("ms", 1)
    values = [end * quarter / 4 / divisor for quarter in range(5)]
    return tuple(f"{value:g}" + (f" {unit}" if place == 4 else "") for place, value in enumerate(values))
