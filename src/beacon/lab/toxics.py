"""Toxics: what a network does to a connection, as data. `beacon.lab.proxy` carries them out.

The kinds are those of Toxiproxy (https://github.com/Shopify/toxiproxy#toxics), and what proxies and load balancers
in front of language models were seen to do: cut after a while, cut after silence, answer twice.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from beacon.domain.document import Seconds, refuse
from beacon.domain.frozen import Frozen
from beacon.lab.draw import Draws

ToxicKind = Literal[
    "latency",
    "bandwidth",
    "cut",
    "reset_before",
    "reset_after",
    "slow_close",
    "black_hole",
    "duplicated",
]
_FIELDS: dict[str, frozenset[str]] = {
    "latency": frozenset({"seconds", "jitter"}),
    "bandwidth": frozenset({"bytes_per_second"}),
    "cut": frozenset({"after", "idle", "after_bytes", "reset"}),
    "slow_close": frozenset({"seconds"}),
}
_NEEDED = {"latency": "seconds", "bandwidth": "bytes_per_second", "slow_close": "seconds"}
_COMMON = frozenset({"kind", "rate", "first_connections"})


class Toxic(Frozen):
    """One thing that a network does, to each connection with probability `rate`, only up to the
    `first_connections` if given.

    `latency` delays what goes either way by `seconds` and up to `jitter` more; `bandwidth` lets so many bytes a
    second through, each way. `cut` ends the connection `after` a time, after an `idle` time without a byte either
    way, or `after_bytes` of a response; by a reset if `reset` is set, else as if the other side had ended
    it. `reset_before` resets once the request arrives, of which the server hears nothing; `reset_after` resets once
    the server has the whole request, and leaves the server at it. `slow_close` hides for `seconds` that the
    server has ended. `black_hole` accepts, and never answers. `duplicated` sends each response twice.
    """

    kind: ToxicKind
    rate: float = Field(default=1.0, gt=0, le=1)
    first_connections: int | None = Field(default=None, ge=1)
    seconds: Seconds = Field(default=0.0, ge=0)
    jitter: Seconds = Field(default=0.0, ge=0)
    bytes_per_second: float | None = Field(default=None, gt=0)
    after: Seconds | None = Field(default=None, gt=0)
    idle: Seconds | None = Field(default=None, gt=0)
    after_bytes: int | None = Field(default=None, ge=0)
    reset: bool = False

    @model_validator(mode="after")
    def _fits_kind(self) -> Toxic:
        for name in sorted(self.model_fields_set - _COMMON - _FIELDS.get(self.kind, frozenset())):
            raise refuse(f"{name} does not belong to toxics of kind {self.kind}")
        needed = _NEEDED.get(self.kind)
        if needed is not None and needed not in self.model_fields_set:
            raise refuse(f"a toxic of kind {self.kind} needs {needed}")
        if self.kind == "cut" and sum(limit is not None for limit in (self.after, self.idle, self.after_bytes)) != 1:
            raise refuse("a cut has exactly one of after, idle and after_bytes")
        return self

    def strikes(self, connection: int, draws: Draws) -> bool:
        """Whether it strikes the connection of that number, from 1. Draws once in any case."""
        drawn = draws.uniform() < self.rate
        return drawn and (self.first_connections is None or connection <= self.first_connections)
