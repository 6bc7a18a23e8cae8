"""How often somebody may ask: a token bucket each, forgotten once it is full again."""

from __future__ import annotations

from collections import OrderedDict

MOST_KEPT = 10_000


class Rate:
    """`most` at once, and as many again in `within_s` seconds."""

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._per_s = most / within_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, who: str, now: float, *, take: bool = True) -> float:
        """0 where `who` may ask now, which counts where `take`; else after how many seconds. `now` is monotonic."""
        left, at = self._left.pop(who, (float(self._most), now))
        left = min(self._most, left + self._per_s * (now - at))
        allowed = left >= 1
        self._left[who] = (left - 1 if allowed and take else left, now)
        if len(self._left) > MOST_KEPT:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_s
