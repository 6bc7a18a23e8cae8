"""Numbers and lists as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence


def points(value: float, *, sign: bool = False) -> str:
    """A difference of rates in percentage points: `12`, `0.4`; `−3` with a real minus."""
    scaled = abs(100 * value)
    digits = f"{scaled:.0f}" if scaled >= 0.95 or scaled < 0.05 else f"{scaled:.1f}"
    if digits == "0":
        return "0"
    if value < 0:
        return "−" + digits
    return "+" + digits if sign else digits


def probability(name: str, value: float) -> str:
    if value < 0.001:
        return f"{name} < 0.001"
    return f"{name} = {value:.3f}" if value < 0.1 else f"{name} = {value:.2f}"


def percent(value: float) -> str:
    scaled = 100 * value
    return f"{scaled:.1f}%" if 0 < scaled < 0.95 or 99.05 < scaled < 100 else f"{scaled:.0f}%"


def counted(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"
    return f"{count:,} {plural}"


def listed(items: Sequence[str], most: int = 6) -> str:
    """`a, b and c`; beyond `most` the rest is counted."""
    if len(items) > most:
        return ", ".join(items[:most]) + f" and {len(items) - most} more"
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]


def distance(value: float) -> str:
    """A distance between texts, or a difference of two: `0.093`, `−0.004`."""
    digits = f"{abs(value):.3f}"
    return f"−{digits}" if value < 0 and digits != "0.000" else digits
