"""How long a provider's Retry-After is obeyed, and when it is taken for a provider that is closed."""

from __future__ import annotations

LONGEST_OBEYED_S = 300.0
"""The longest that a Retry-After (RFC 9110, section 10.2.3) keeps work waiting, as long as an execution's deadline is
by default. Beyond it the provider is tried again then; where it asks for more than this again, what waits for it ends.
"""


class Closing:
    """What one provider asked for beyond `LONGEST_OBEYED_S` since its last answer. Moments are monotonic."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._closed_until = 0.0

    def obey(self, asked_s: float, sent_at: float, now: float) -> float:
        """Seconds that it is left alone for, after it asked for `asked_s` in reply to what was sent at `sent_at`."""
        if asked_s <= LONGEST_OBEYED_S:
            return asked_s
        if self._first_at is None:
            self._first_at = now
        elif sent_at >= self._first_at + LONGEST_OBEYED_S:
            self._closed_until = now + LONGEST_OBEYED_S
        return LONGEST_OBEYED_S

    def answered(self) -> None:
        self._first_at, self._closed_until = None, 0.0

    def closed(self, now: float) -> bool:
        """Whether it asked anew for more than is waited for, and is not tried again yet."""
        return now < self._closed_until
