"""The eight measures by day, each with its target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from beacon.domain.kpis import DAY_S, Kpi
from beacon.web.figures.figure import FAINT, INK, LINE, MORE, Figure, line, text

COLUMNS = ("measure", "unit", "target", "at_least", "day", "value")
_LABEL, _CHART, _NUMBERS, _ROW = 210, 420, 150, 68
WIDTH = _LABEL + _CHART + _NUMBERS


def trends(
    name: str, title: str, notes: Sequence[str], found: Sequence[Kpi], told: Callable[[Kpi, float], str]
) -> Figure:
    """A line for each day that has a value; a measure without any says so. `told` writes a value with its unit."""
    parts: list[str] = []
    for number, kpi in enumerate(found):
        parts += _row(kpi, _ROW * number, told)
    return Figure(name, title, tuple(notes), COLUMNS, list(_rows(found)), WIDTH, _ROW * len(found), parts)


def _rows(found: Sequence[Kpi]) -> list[tuple[object, ...]]:
    """Every day of every measure, and what it is over the whole time."""
    rows: list[tuple[object, ...]] = []
    for kpi in found:
        head = (kpi.name, kpi.unit, kpi.target, kpi.at_least)
        rows.append((*head, "whole time", kpi.value))
        rows += [(*head, _day(day), value) for day, value in kpi.trend]
    return rows


def _day(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_S, UTC).strftime("%Y-%m-%d")


def _row(kpi: Kpi, y: int, told: Callable[[Kpi, float], str]) -> list[str]:
    target = f"target {'≥' if kpi.at_least else '<'} {told(kpi, kpi.target)}"
    value = "unknown" if kpi.value is None else told(kpi, kpi.value)
    parts = [
        line(0, y, WIDTH, y, LINE, 1),
        text(0, y + 26, kpi.name, weight="bold"),
        text(0, y + 42, target, size=11, fill=FAINT),
        text(WIDTH, y + 30, value, anchor="end", size=16, fill=MORE if kpi.met is False else INK),
        text(WIDTH, y + 46, f"of {kpi.of:,}", anchor="end", size=11, fill=FAINT),
    ]
    if len(kpi.trend) < 2:
        return [
            *parts,
            text(_LABEL, y + 34, "one day is no trend" if kpi.trend else "not measured", size=11, fill=FAINT),
        ]
    values = [value for _, value in kpi.trend]
    low, high = min(*values, kpi.target), max(*values, kpi.target)
    first, days = kpi.trend[0][0], kpi.trend[-1][0] - kpi.trend[0][0]

    def at(day: int, value: float) -> tuple[float, float]:
        share = (value - low) / (high - low) if high > low else 0.5
        return _LABEL + _CHART * (day - first) / days, y + 52 - 38 * share

    goal = at(first, kpi.target)[1]
    points = " ".join(f"{x:.1f},{height:.1f}" for x, height in (at(*point) for point in kpi.trend))
    return [
        *parts,
        line(_LABEL, goal, _LABEL + _CHART, goal, FAINT, 1, "3 3"),
        f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="1.5"/>',
        text(_LABEL, y + 64, _day(first), size=10, fill=FAINT),
        text(_LABEL + _CHART, y + 64, _day(first + days), anchor="end", size=10, fill=FAINT),
    ]
