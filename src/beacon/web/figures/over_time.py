"""Changes against a baseline, run after run: a row for each model and region, a place for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beacon.web.figures.figure import FAINT, LESS, LINE, MORE, Figure, fitted, line, marker, text
from beacon.web.pages.findings_view import Finding
from beacon.web.text import words

COLUMNS = ("model", "region", "measure", "run", "job", "call", "effect", "low", "high", "p", "q", "n")
Row = tuple[str, str, Sequence[Finding | None]]
_LABEL, _RUN, _ROW, _HEAD = 260, 96, 64, 28


def over_time(
    name: str,
    title: str,
    notes: Sequence[str],
    runs: Sequence[tuple[str, str]],
    rows: Sequence[Row],
    reaches: Mapping[str, float],
) -> Figure:
    """`runs` are (job, moment) of the later runs, `rows` (subject, measure, a finding for each run); `reaches` is by
    measure."""
    width = _LABEL + _RUN * max(2, len(runs)) + 40
    parts = [
        text(_LABEL + _RUN * (place + 0.5), 14, fitted(when, _RUN - 6, 11), anchor="middle", size=11, fill=FAINT)
        for place, (_, when) in enumerate(runs)
    ]
    for number, row in enumerate(rows):
        parts += _row(row, _HEAD + _ROW * number, width, reaches[row[1]])
    if not rows:
        parts.append(text(0, _HEAD + 20, "Nothing to show.", fill=FAINT))
    table = [
        _values(measure, job, when, finding)
        for _, measure, points in rows
        for (job, when), finding in zip(runs, points, strict=True)
        if finding is not None
    ]
    return Figure(name, title, tuple(notes), COLUMNS, table, width, _HEAD + _ROW * max(1, len(rows)), parts)


def _values(measure: str, job: str, when: str, finding: Finding) -> tuple[object, ...]:
    low, high = finding.interval or (None, None)
    subject = (finding.model, finding.raw.get("region"), measure, when, job, finding.call)
    return (*subject, finding.effect, low, high, finding.p, finding.q, finding.answers)


def _row(row: Row, y: int, width: int, reach: float) -> list[str]:
    subject, measure, points = row
    middle = y + _ROW / 2

    def height(value: float) -> float:
        return middle - (_ROW / 2 - 8) * max(-1.0, min(1.0, value / reach))

    parts = [
        line(0, y, width, y, LINE, 1),
        text(0, middle - 3, fitted(subject, _LABEL - 10)),
        text(0, middle + 12, words(measure), size=11, fill=FAINT),
        line(_LABEL, middle, width - 40, middle, FAINT, 1, "3 3"),
    ]
    for place, finding in enumerate(points):
        if finding is None or finding.effect is None:
            continue
        x = _LABEL + _RUN * (place + 0.5)
        colour = {"more": MORE, "less": LESS}.get(finding.direction, FAINT)
        if finding.interval:
            low, high = (height(end) for end in finding.interval)
            parts.append(line(x, low, x, high, colour))
            parts += [line(x - 4, end, x + 4, end, colour) for end in (low, high)]
        parts.append(marker(x, height(finding.effect), 0, colour, filled=finding.direction != "none"))
        parts.append(text(x + 8, height(finding.effect) + 4, finding.size or "", size=11, fill=colour))
    return parts
