"""Marks and bars as SVG in percent coordinates: no script, no inline style, the same size in every state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from markupsafe import Markup

from beacon.domain.states import ExecutionStatus
from beacon.web.board import CODE, CODES, DONE_CODES
from beacon.web.text import css, words

MOST_MARKS = 12
"""Above this a cell shows a count and a bar in place of one mark an execution."""
_ORDER = ("completed", "failed", "timed_out", "cancelled", "retrying", "running")
_HATCHED = frozenset({"failed", "timed_out", "cancelled"})
_MARCH = '<line class="march" x1="0" x2="100%" y1="50%" y2="50%"/>'
_STEP = 13
_ONE_LINE = 6
"""More marks than this stand in two lines, so that three models in three regions fit a common screen."""


def told(counts: Sequence[int]) -> str:
    """`246 completed, 6 failed, 50 running`, in the order of the bars; `nothing yet` where all is pending."""
    parts = [f"{counts[CODE[status]]:,} {words(status)}" for status in _ORDER if counts[CODE[status]]]
    return ", ".join(parts) or "nothing yet"


def bar(counts: Sequence[int], *, marching: bool = False, big: bool = False) -> Markup:
    """A bar of executions by status. Its running part moves; while `marching` the whole bar does."""
    total = sum(counts)
    done = sum(counts[code] for code in DONE_CODES)
    parts, x = [], 0.0
    for status in _ORDER:
        width = 100 * counts[CODE[status]] / total if total else 0.0
        if not width:
            continue
        place = f'x="{x:.2f}%" width="{width:.2f}%"'
        parts.append(f'<rect class="f-{css(status)}" {place}/>')
        if status in _HATCHED:
            parts.append(f'<rect fill="url(#p-{css(status)})" {place}/>')
        if status == "running" and not marching:
            parts.append(f"<svg {place}>{_MARCH}</svg>")
        x += width
    if marching:
        parts.append(_MARCH)
    label = f"{done:,} of {total:,} executions recorded, {told(counts)}"
    kind = "bar bar-big" if big else "bar"
    return Markup(f'<svg class="{kind}" role="img" aria-label="{label}">{"".join(parts)}</svg>')


def share_bar(fraction: float, kind: str, label: str, *, marching: bool = False) -> Markup:
    """One value from 0 to 1 in the colour of `kind`."""
    width = f"{100 * min(1.0, max(0.0, fraction)):.1f}%"
    march = f'<svg width="{width}">{_MARCH}</svg>' if marching else ""
    rect = Markup('<svg class="bar" role="img" aria-label="{}"><rect class="f-{}" width="{}"/>').format(
        label, kind, width
    )
    return rect + Markup(march) + Markup("</svg>")


@lru_cache(maxsize=8192)
def cell(statuses: bytes) -> Markup:
    """What stands in a cell of the matrix: a mark an execution, or for many a count and a bar."""
    counts = [0] * len(CODES)
    for code, count in Counter(statuses).items():
        counts[code] = count
    pending = counts[CODE[ExecutionStatus.PENDING.value]]
    hidden = told(counts) + (f", {pending:,} pending" if pending and pending < len(statuses) else "")
    if len(statuses) > MOST_MARKS:
        done = sum(counts[code] for code in DONE_CODES)
        numbers = f'<span>{done:,} <span class="dim">/ {len(statuses):,}</span></span>'
        return Markup(f'<span class="dense">{numbers}{bar(counts)}</span>')
    columns = len(statuses) if len(statuses) <= _ONE_LINE else -(-len(statuses) // 2)
    marks = []
    for place, kind in enumerate(css(CODES[code]) for code in statuses):
        x, y = 1 + _STEP * (place % columns), 1 + _STEP * (place // columns)
        marks.append(f'<use class="s-{kind}" href="#g-{kind}" x="{x}" y="{y}" width="11" height="11"/>')
    lines = " reps-2" if columns < len(statuses) else ""
    size = f'width="{_STEP * columns}" height="{_STEP * (2 if lines else 1)}"'
    svg = f'<svg class="reps{lines}" {size} aria-hidden="true">{"".join(marks)}</svg>'
    return Markup(f'{svg}<span class="vh">{hidden}</span>')
