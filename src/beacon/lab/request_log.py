"""What the lab was really sent: one compact row a request, counts per key, and totals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

MAX_ROWS = 100_000


@dataclass(slots=True)
class Row:
    """One request. Times are milliseconds; `at_ms` counts from the start or the last reset.

    `latency_ms` is the scripted time of the whole answer, without any cold start (`cold_ms`). `outcome` is
    `open` until the request is over, then the scripted class of the answer, the fault that struck, what
    turned the request away, or `client_left`.
    """

    at_ms: float
    key: str | None
    attempt: int
    deadline_ms: int | None
    model: str
    question: str | None
    language: str
    prompt: str
    stream: bool
    n: int | None = None
    latency_ms: float = 0.0
    cold_ms: float = 0.0
    status: int = 0
    outcome: str = "open"

    def to_json(self, region: str) -> dict[str, Any]:
        return {"region": region} | {name: getattr(self, name) for name in Row.__slots__}


class RequestLog:
    """Bounded: of more than `max_rows` requests the oldest rows and keys are let go, and counted.

    With `recording` off no row is kept and no key is known again; the totals go on.
    """

    def __init__(self, recording: bool = True, max_rows: int = MAX_ROWS) -> None:
        self._recording = recording
        self._max_rows = max_rows
        self._rows: dict[int, Row] = {}
        self._keys: dict[str, tuple[int, int | None]] = {}
        self._cells: Counter[str] = Counter()
        self._next = 0
        self._totals: dict[str, Counter[str]] = {
            "status": Counter(),
            "outcome": Counter(),
            "model": Counter(),
        }
        self._latency_ms: dict[str, tuple[float, float]] = {}
        self.in_flight = 0
        self.most_in_flight = 0

    def opened(self, row: Row) -> None:
        """Counts the request; gives it the number that its key had before, if the key is known."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self._totals["model"][row.model] += 1
        self._next += 1
        if not self._recording:
            return
        self._rows[self._next] = row
        if len(self._rows) > self._max_rows:
            del self._rows[next(iter(self._rows))]
        if row.key is not None:
            count, row.n = self._keys.get(row.key, (0, None))
            self._keys[row.key] = (count + 1, row.n)
            if len(self._keys) > self._max_rows:
                del self._keys[next(iter(self._keys))]

    def number(self, row: Row) -> int:
        """The row's number among the distinct requests of its cell (model and prompt), from 1."""
        if row.n is None:
            cell = f"{row.model}\x1f{row.prompt}"
            self._cells[cell] += 1
            row.n = self._cells[cell]
            if len(self._cells) > self._max_rows:
                del self._cells[next(iter(self._cells))]
            if row.key is not None and row.key in self._keys:
                self._keys[row.key] = (self._keys[row.key][0], row.n)
        return row.n

    def scripted(self, row: Row, latency_ms: float) -> None:
        row.latency_ms = latency_ms
        total, longest = self._latency_ms.get(row.model, (0.0, 0.0))
        self._latency_ms[row.model] = (total + latency_ms, max(longest, latency_ms))

    def closed(self, row: Row) -> None:
        self.in_flight -= 1
        self._totals["status"][str(row.status)] += 1
        self._totals["outcome"][row.outcome] += 1

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self._next,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "by_status": dict(self._totals["status"]),
            "by_outcome": dict(self._totals["outcome"]),
            "models": {
                model: {
                    "requests": count,
                    "latency_ms_sum": self._latency_ms.get(model, (0.0, 0.0))[0],
                    "latency_ms_max": self._latency_ms.get(model, (0.0, 0.0))[1],
                }
                for model, count in self._totals["model"].items()
            },
        }

    def dump(self, region: str) -> dict[str, Any]:
        return {
            "region": region,
            "recorded": self._recording,
            "dropped": self._next - len(self._rows) if self._recording else self._next,
            "keys": {key: count for key, (count, _) in self._keys.items()},
            "models": dict(self._totals["model"]),
            "requests": [row.to_json(region) for row in self._rows.values()],
        }

    def reset(self) -> None:
        """Forgets all but how many requests are still open."""
        self._rows.clear()
        self._keys.clear()
        self._cells.clear()
        self._latency_ms.clear()
        for totals in self._totals.values():
            totals.clear()
        self._next = 0
        self.most_in_flight = self.in_flight
