"""Shares with their intervals, a line for each model and region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beacon.web.figures.figure import FAINT, INK, LINE, Figure, fitted, line, marker, text
from beacon.web.pages.findings_view import Rate

COLUMNS = ("model", "region", "arm", "measure", "share", "low", "high", "answers", "missing")
_LABEL, _AXIS, _NUMBERS, _ROW, _HEAD = 300, 320, 150, 24, 24
WIDTH = _LABEL + _AXIS + _NUMBERS


def shares(
    name: str,
    title: str,
    notes: Sequence[str],
    measure: str,
    rates: Sequence[tuple[str, list[Rate]]],
    places: Mapping[str, int],
) -> Figure:
    """`places` gives each region its marker."""
    every = [rate for _, arms in rates for rate in arms]
    parts = [text(_x(v), 14, f"{100 * v:g}%", anchor="middle", size=11, fill=FAINT) for v in (0, 0.25, 0.5, 0.75, 1)]
    parts.append(text(WIDTH - 60, 14, "share", anchor="end", size=11, fill=FAINT))
    parts.append(text(WIDTH, 14, "answers", anchor="end", size=11, fill=FAINT))
    for number, rate in enumerate(every):
        parts += _row(rate, _HEAD + _ROW * number, places.get(rate.region, 0), new=number == 0 or _new(every, number))
    rows = [_values(rate, measure) for rate in every]
    return Figure(name, title, tuple(notes), COLUMNS, rows, WIDTH, _HEAD + _ROW * max(1, len(every)), parts)


def _new(every: Sequence[Rate], number: int) -> bool:
    return every[number].model != every[number - 1].model


def _values(rate: Rate, measure: str) -> tuple[object, ...]:
    low, high = rate.interval or (None, None)
    missing = None if rate.executions is None or rate.answers is None else rate.executions - rate.answers
    return (rate.model, rate.region, rate.arm, measure, rate.share, low, high, rate.answers, missing)


def _x(share: float) -> float:
    return _LABEL + 16 + (_AXIS - 32) * share


def _row(rate: Rate, y: int, place: int, *, new: bool) -> list[str]:
    middle = y + _ROW / 2
    parts = [line(0 if new else _LABEL - 110, y, WIDTH, y, LINE, 1)]
    if new:
        parts.append(text(0, middle + 4, fitted(rate.model, _LABEL - 130), weight="bold"))
    parts.append(text(_LABEL - 110, middle + 4, fitted(f"{rate.region} {rate.arm}".strip(), 110)))
    if rate.interval:
        low, high = (_x(end) for end in rate.interval)
        parts.append(line(low, middle, high, middle, INK))
        parts += [line(end, middle - 4, end, middle + 4, INK) for end in (low, high)]
    if rate.share is not None:
        parts.append(marker(_x(rate.share), middle, place, INK))
    share = "unknown" if rate.share is None else f"{100 * rate.share:.0f}%"
    answers = "unknown" if rate.answers is None else f"{rate.answers:,}"
    return [
        *parts,
        text(WIDTH - 60, middle + 4, share, anchor="end"),
        text(WIDTH, middle + 4, answers, anchor="end"),
    ]
