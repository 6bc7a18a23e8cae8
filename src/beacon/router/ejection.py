"""Passive outlier ejection: a provider that keeps failing gets nothing for a while, then one request on trial.

It learns from real requests alone (free-health). What the provider says about a request, such as a 400, is no failure
of the provider, and one request that fails everywhere, however often it is tried, ejects nobody.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from beacon.domain.failure import Failure, FailureKind

IN_A_ROW = 5
"""So many failures in a row eject a provider."""
RATE = 0.5
"""So great a share of failures does, within `WINDOW_S`, out of `AT_LEAST` requests or more."""
AT_LEAST = 20
WINDOW_S = 30.0
"""What the share of failures is counted over. It ends no request."""
FIRST_S = 10.0
"""How long the first ejection lasts, give or take `JITTER`; each further one twice as long. No request waits for it
where the cell has another provider."""
LONGEST_S = 300.0
"""The longest ejection; and after so long without one, the next is a first one again."""
JITTER = 0.2
MAX_SHARE = 2 / 3
"""At most this share of a cell's providers is ejected: never the only one, 1 of 2, 2 of 3, 2 of 4. The rest
is asked even where it fails, so the end of a full outage is seen; the retry budget bounds the traffic until then."""
_BUCKETS = 10

_TRANSPORT = frozenset(
    {
        FailureKind.REFUSED_CONNECTION,
        FailureKind.OUTCOME_UNKNOWN,
        FailureKind.PROTOCOL_ERROR,
        FailureKind.RESULT_LOST,
        FailureKind.REGION_MISMATCH,
        FailureKind.MODEL_MISMATCH,
        FailureKind.DEADLINE_EXPIRED,
    }
)
_OWN_FAULT = frozenset({401, 403, 404, 408})
"""Its key, its address or the model's name there is wrong, for every request; or it was too slow to read one."""


def most_ejected(providers: int) -> int:
    """How many of a cell's providers may be ejected at once."""
    return int(MAX_SHARE * providers + 1e-9)


def speaks_of_provider(failure: Failure) -> bool:
    """Whether a failure is a sign that the provider is in trouble, and not the request.

    Overload that says when to come again, and a cold start, have answers of their own.
    """
    if failure.kind is FailureKind.PROVIDER_ERROR:
        status = failure.http_status
        if status == 503 and (failure.retry_after_s is not None or not failure.counts):
            return False
        return status is None or status >= 500 or status in _OWN_FAULT
    return failure.kind in _TRANSPORT


@dataclass(slots=True)
class _Bucket:
    until: float
    total: int = 0
    failed: int = 0
    requests: set[Hashable] = field(default_factory=set)


class Ejection:
    """What is held against one provider. Moments are seconds of the monotonic clock.

    in -> ejected by `eject`; ejected -> on trial by `try_again`; on trial -> in by an answer, -> ejected by a failure.
    """

    __slots__ = (
        "_buckets", "_in_a_row", "_requests", "_returned_at", "_rng", "_since", "_times", "on_trial", "until", "why",
    )  # fmt: skip

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._in_a_row = 0
        self._requests: set[Hashable] = set()
        self._buckets: deque[_Bucket] = deque()
        self._times = 0
        self._since = float("-inf")
        self._returned_at: float | None = None
        self.until: float | None = None
        self.on_trial = False
        self.why: str | None = None

    @property
    def out(self) -> bool:
        """Whether it is ejected, or on trial after it was."""
        return self.until is not None or self.on_trial

    def answered(self, sent_at: float, now: float) -> bool:
        """Learns from an answer; whether it brings the provider back."""
        self._bucket(now).total += 1
        if sent_at < self._since:
            return False
        self._in_a_row = 0
        self._requests.clear()
        if not self.on_trial:
            return False
        self.on_trial, self.why, self._returned_at = False, None, now
        self._buckets.clear()
        return True

    def failed(self, request: Hashable, sent_at: float, now: float) -> str | None:
        """Learns from a failure that speaks of the provider; why it is to be ejected, or None.

        `request` is equal for all tries of the same request. What was sent before an ejection adds nothing to it.
        """
        bucket = self._bucket(now)
        bucket.total += 1
        bucket.failed += 1
        if self.until is not None or sent_at < self._since:
            return None
        self._in_a_row += 1
        # Two are enough to know that it is not one request alone.
        for requests in (self._requests, bucket.requests):
            if len(requests) < 2:
                requests.add(request)
        if self.on_trial:
            return "it failed on trial"
        if self._in_a_row >= IN_A_ROW and len(self._requests) >= 2:
            return f"{self._in_a_row} failures in a row"
        return self._rate_too_high()

    def _rate_too_high(self) -> str | None:
        total, failed = sum(b.total for b in self._buckets), sum(b.failed for b in self._buckets)
        if total < AT_LEAST or failed < RATE * total:
            return None
        one_request = len(set().union(*(bucket.requests for bucket in self._buckets))) < 2
        return None if one_request else f"{failed} of {total} requests failed in {WINDOW_S:g} s"

    def eject(self, why: str, now: float) -> float:
        """Ejects it; for how many seconds."""
        if self._returned_at is not None and now - self._returned_at > LONGEST_S:
            self._times = 0
        lasts = min(LONGEST_S, FIRST_S * 2.0**self._times) * (1.0 + JITTER * (2.0 * self._rng.random() - 1.0))
        lasts = min(LONGEST_S, lasts)
        self._times += 1
        self._returned_at = None
        self.until, self.why, self.on_trial = now + lasts, why, False
        self._since = now
        return lasts

    def try_again(self, now: float) -> None:
        """From now on one request at a time may try it."""
        self.until, self.on_trial = None, True
        self._since = now
        self._in_a_row = 0
        self._requests.clear()
        self._buckets.clear()

    def _bucket(self, now: float) -> _Bucket:
        """Where what ends now is counted; what is older than the window is forgotten."""
        buckets = self._buckets
        if not buckets or now >= buckets[-1].until:
            buckets.append(_Bucket(now + WINDOW_S / _BUCKETS))
            while buckets[0].until <= now - WINDOW_S:
                buckets.popleft()
        return buckets[-1]
