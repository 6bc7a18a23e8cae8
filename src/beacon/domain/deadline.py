"""One deadline per execution, as data: every hop derives its own time-out from what is left."""

from __future__ import annotations

from beacon.domain.clock import Clock
from beacon.domain.value import value


@value(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock of this process."""

    expires_at: float
    clock: Clock

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Deadline:
        return cls(clock.monotonic() + seconds, clock)

    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.expires_at - self.clock.monotonic())

    def left_ms(self) -> int:
        """Whole milliseconds left, as forwarded in `X-Beacon-Deadline-Ms`."""
        return int(self.left_s() * 1000)

    @property
    def expired(self) -> bool:
        return self.clock.monotonic() >= self.expires_at
