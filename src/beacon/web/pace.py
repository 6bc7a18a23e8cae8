"""How many executions each provider brings to an end a second, over the last seconds."""

from __future__ import annotations

from collections import Counter, defaultdict

PACE_S = 20
"""Over so many whole seconds a provider's rate is counted: long enough to be steady, short enough to show a stop."""


class Pace:
    """Outcomes by provider and by the second in which they were recorded; older seconds are forgotten."""

    def __init__(self) -> None:
        self._by_provider: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def recorded(self, provider: str | None, at: float | None) -> None:
        """One outcome, at seconds since the epoch. One that no provider was asked for counts for none."""
        if provider is None or at is None:
            return
        seconds = self._by_provider[provider]
        seconds[int(at)] += 1
        if len(seconds) > 4 * PACE_S:
            for old in sorted(seconds)[: -2 * PACE_S]:
                del seconds[old]

    def providers(self) -> list[str]:
        """Those that brought anything to an end, in the order of their first outcome."""
        return list(self._by_provider)

    def rate(self, provider: str, now: float, since: float | None = None) -> float:
        """Outcomes a second over the last `PACE_S` whole seconds, or since `since` where that is later."""
        end = int(now)
        begin = max(end - PACE_S, end - PACE_S if since is None else int(since))
        seconds = self._by_provider.get(provider, Counter())
        return sum(seconds[second] for second in range(begin, end)) / max(1, end - begin)
