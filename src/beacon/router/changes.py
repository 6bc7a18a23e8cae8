"""What the router changed about its providers, each with its reason: for logs, pages and whoever asks later."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import structlog

from beacon.domain.clock import Clock

log = structlog.get_logger()

KEPT = 200
Kind = Literal["limit", "ejected", "on_trial", "returned", "paused", "resumed", "added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Change:
    """`at` is in seconds since the epoch; `what` and `why` are of sentences about the provider."""

    at: float
    provider: str
    kind: Kind
    what: str
    why: str


class Changes:
    """The newest changes of one router, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[Change] = deque(maxlen=KEPT)

    def note(self, provider: str, kind: Kind, what: str, why: str) -> None:
        self._kept.append(Change(self._clock.wall(), provider, kind, what, why))
        log.info(f"{provider} {what}", provider=provider, kind=kind, why=why)

    def kept(self) -> tuple[Change, ...]:
        return tuple(self._kept)
