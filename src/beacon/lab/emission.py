"""An answer as bytes with their moments, and how it ends: whole, or spoilt by its fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from beacon.lab.completion import ERROR_TYPES, body, error_body, error_event, events
from beacon.lab.script import Script

TICK_S = 0.01
"""Events that are due within one tick are written together."""


@dataclass(frozen=True, slots=True)
class Emission:
    """`parts` are written evenly from `first_s` to `last_s` seconds after the start.

    `length` is what Content-Length says, None for a stream. Then the answer ends, or the connection is reset,
    or nothing more happens (`silence`).
    """

    parts: list[bytes]
    first_s: float
    last_s: float
    length: int | None
    ending: Literal["end", "reset", "silence"]

    def due(self) -> list[tuple[float, bytes]]:
        """(seconds after the start, bytes), in order, at least a tick apart."""
        if self.first_s == self.last_s:
            return [(self.first_s, b"".join(self.parts))] if self.parts else []
        last = len(self.parts) - 1
        step = (self.last_s - self.first_s) / last if last > 0 else 0.0
        written: list[tuple[float, list[bytes]]] = []
        for index, part in enumerate(self.parts):
            moment = self.first_s + index * step
            since = moment - written[-1][0] if written else TICK_S
            if since == 0 or (since < TICK_S and index < last):
                written[-1][1].append(part)
            else:
                written.append((moment, [part]))
        return [(moment, b"".join(together)) for moment, together in written]


def emission(script: Script, stream: bool, include_usage: bool) -> Emission:
    whole = (
        events(script.completion, script.tokens_per_event, include_usage)
        if stream
        else _halves(body(script.completion))
    )
    first_s = script.first_token_s if stream else script.total_s
    length = None if stream else sum(map(len, whole))
    kind = script.fault.kind if script.fault is not None else None
    half = whole[: len(whole) // 2]
    if kind in {"cut", "stall"}:
        until_s = script.first_token_s + (script.total_s - script.first_token_s) / 2 if stream else script.total_s
        return Emission(half, first_s, until_s, length, "reset" if kind == "cut" else "silence")
    if kind == "no_done" and stream:
        whole = whole[:-1]
    elif kind == "empty_body":
        whole = []
    elif kind == "error_event":
        message = "simulated failure in the middle of the answer"
        whole = [*half, error_event(message)] if stream else [error_body(message, ERROR_TYPES.get(500, "server_error"))]
    elif kind in {"truncated", "no_done"}:
        broken = whole[len(half)]
        whole = [*half, broken[: len(broken) // 2]]
    return Emission(whole, first_s, script.total_s, None if stream else sum(map(len, whole)), "end")


def _halves(whole: bytes) -> list[bytes]:
    middle = len(whole) // 2
    return [whole[:middle], whole[middle:]]
