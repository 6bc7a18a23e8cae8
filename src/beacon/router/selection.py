"""Which of a cell's providers takes the next inference. Never looks outside the cell.

Power of two choices: of two that are drawn among those with a free slot, the one with the lower load, which is what it
has in flight times how long its answers take now. Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing" (2001): nearly as even as asking all, and no herd runs to the one that looks best.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from beacon.router.lane import Lane


class Choice(NamedTuple):
    """`why` continues "chosen as"; None where there was nothing to choose."""

    lane: Lane
    why: str | None


def choose(lanes: Sequence[Lane], model: str, now: float, rng: random.Random) -> Choice | None:
    """A lane with a free slot, or None; the slot is not taken yet. `now` is of the monotonic clock, in seconds.

    One that was ejected and is on trial comes first: only a request can tell whether it is back.
    """
    if len(lanes) == 1:
        return Choice(lanes[0], None) if lanes[0].slots.free() else None
    usable = [lane for lane in lanes if lane.slots.free()]
    if not usable:
        return None
    for lane in usable:
        if lane.ejection.on_trial:
            return Choice(lane, f"on trial after its ejection, of {_among(usable, lanes)}")
    if len(usable) == 1:
        return Choice(usable[0], f"the only one with a free slot, of {_among(usable, lanes)}")
    first, second = usable if len(usable) == 2 else rng.sample(usable, 2)
    loads = _load(first, model, now), _load(second, model, now)
    if loads[0] is None or loads[1] is None:
        # Nobody knows yet how long one of them takes: then the one that has more to spare.
        loads = first.slots.in_flight / first.slots.limit, second.slots.in_flight / second.slots.limit
    swap = rng.random() < 0.5 if loads[0] == loads[1] else loads[1] < loads[0]  # type: ignore[operator]
    lane, other = (second, first) if swap else (first, second)
    tale = f"{_tale(lane, model, now)} against {other.provider.name} with {_tale(other, model, now)}"
    return Choice(lane, f"the less loaded of two drawn, of {_among(usable, lanes)}: {tale}")


def _load(lane: Lane, model: str, now: float) -> float | None:
    """Seconds of work that it would have with one more request."""
    expected = lane.expected_s(model, now)
    return None if expected is None else expected * (lane.slots.in_flight + 1)


def _among(usable: Sequence[Lane], lanes: Sequence[Lane]) -> str:
    return f"{len(lanes)}, {len(usable)} of them open"


def _tale(lane: Lane, model: str, now: float) -> str:
    expected = lane.expected_s(model, now)
    took = "answers of unknown length" if expected is None else f"answers of {expected:.3g} s"
    return f"{lane.slots.in_flight} under way and {took}"
