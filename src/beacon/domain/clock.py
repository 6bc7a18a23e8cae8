"""Time as a value that can be replaced: real in production, virtual in simulation."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back; only differences mean anything."""
        ...


class SystemClock:
    wall = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
