"""Which of a cell's providers takes the next inference. Never looks outside the cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beacon.router.lane import Lane


def choose(lanes: Sequence[Lane]) -> Lane | None:
    """The lane with the greatest share of its slots free, or None if no slot is free.

    Among equals the one that was used least, so that equal providers share the work.
    """
    best: Lane | None = None
    best_rank = (0.0, 0)
    for lane in lanes:
        slots = lane.slots
        free = slots.free()
        if free == 0:
            continue
        rank = (free / slots.limit, -slots.taken)
        if best is None or rank > best_rank:
            best, best_rank = lane, rank
    return best
