"""The chart of where an execution's time went: the waterfall with places on an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from beacon.domain.failure import Stage
from beacon.domain.waterfall import Span, Waterfall, waterfall
from beacon.runner.explain import times_of

_KINDS: dict[str, str] = {
    Stage.QUEUE: "w-wait",
    Stage.ROUTE: "w-own",
    Stage.CONNECT: "w-wait",
    Stage.COLD_START: "w-cold",
    Stage.INFERENCE: "w-work",
    Stage.FETCH: "w-wait",
    Stage.PERSIST: "w-own",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One stage: places in percent of the axis, times in milliseconds from the moment of queueing."""

    stage: str
    kind: str
    x: float
    width: float
    begin_ms: float
    took_ms: float


@dataclass(frozen=True, slots=True)
class AttemptBars:
    number: int
    spans: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`ticks` are labels at equal distances from 0 to the end of the axis; `longest` is what took most."""

    attempts: tuple[AttemptBars, ...]
    ticks: tuple[str, ...]
    total_ms: float
    longest: Span | None


def chart(row: dict[str, Any], attempts: Sequence[dict[str, Any]]) -> Chart | None:
    """None where no stage of any attempt was recorded."""
    told = waterfall(row["queued_at"], times_of(attempts), row["persisted_at"])
    if told is None:
        return None
    scale = 100 / _ceiling(told.total_ms)
    return Chart(_bars(told, scale), _axis(told.total_ms), told.total_ms, told.longest)


def _bars(told: Waterfall, scale: float) -> tuple[AttemptBars, ...]:
    return tuple(
        AttemptBars(attempt.number, tuple(_bar(span, scale) for span in attempt.spans)) for attempt in told.attempts
    )


def _bar(span: Span, scale: float) -> Bar:
    kind = "w-lost" if span.lost else _KINDS.get(span.stage, "w-own")
    return Bar(span.stage, kind, span.begin_ms * scale, max(span.took_ms * scale, 0.15), span.begin_ms, span.took_ms)


def _ceiling(total: float) -> float:
    """A round end of the axis in milliseconds: 1, 2, 4 or 8 times a power of ten, not below `total`."""
    base = 10 ** math.floor(math.log10(total)) if total > 0 else 1.0
    return next(base * step for step in (1, 2, 4, 8, 10) if base * step >= total * 0.9999)


def _axis(total: float) -> tuple[str, ...]:
    end = _ceiling(total)
    unit, divisor = ("s", 1000) if end >= 1000 else ("ms", 1)
    values = [end * quarter / 4 / divisor for quarter in range(5)]
    return tuple(f"{value:g}" + (f" {unit}" if place == 4 else "") for place, value in enumerate(values))
