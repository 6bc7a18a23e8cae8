"""Effects with their intervals, a line for each comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from beacon.web.figures.figure import BAND, FAINT, INK, LESS, LINE, MORE, Figure, fitted, line, marker, text
from beacon.web.pages.findings_view import Finding
from beacon.web.text import words

COLUMNS = (
    *("id", "call", "factor", "model", "region", "question", "measure", "group", "against"),
    *("effect", "low", "high", "p", "q", "n", "sentence"),
)
_LABEL, _AXIS, _NUMBERS, _ROW, _HEAD = 360, 300, 280, 34, 24
WIDTH = _LABEL + _AXIS + _NUMBERS


def effects(
    name: str,
    title: str,
    notes: Sequence[str],
    findings: Sequence[Finding],
    reach: float,
    smallest: float | None,
    *,
    texts: Mapping[str, str],
    place: Callable[[Finding], int] = lambda _: 0,
) -> Figure:
    """On an axis from -`reach` to +`reach`; `place` is that of a finding's marker among the shapes."""
    axis = [_tick(share, reach) for share in (-1, -0.5, 0, 0.5, 1)]
    heads = [
        text(_LABEL + _AXIS + 70, 14, "effect", anchor="end", size=11, fill=FAINT),
        text(_LABEL + _AXIS + 80, 14, "interval", size=11, fill=FAINT),
        text(WIDTH - 48, 14, "q", anchor="end", size=11, fill=FAINT),
        text(WIDTH, 14, "n", anchor="end", size=11, fill=FAINT),
    ]
    parts = [*axis, *heads]
    for number, finding in enumerate(findings):
        parts += _row(finding, _HEAD + _ROW * number, reach, smallest, texts, place(finding))
    height = _HEAD + _ROW * max(1, len(findings))
    if not findings:
        parts.append(text(0, _HEAD + 20, "Nothing to show.", fill=FAINT))
    notes = ["Effects with their intervals; shares in percentage points.", *notes]
    if smallest:
        notes.insert(1, f"Grey band: within ±{100 * smallest:g} points, too small to matter.")
    return Figure(name, title, tuple(notes), COLUMNS, [row_of(f) for f in findings], WIDTH, height, parts)


def row_of(finding: Finding) -> tuple[object, ...]:
    low, high = finding.interval or (None, None)
    region = finding.raw.get("region")
    return (
        *(finding.id, finding.call, finding.factor, finding.model, region, finding.question, finding.measure),
        *(finding.groups[-1] if finding.groups else None, finding.groups[0] if len(finding.groups) > 1 else None),
        *(finding.effect, low, high, finding.p, finding.q, finding.answers, finding.sentence),
    )


def _tick(share: float, reach: float) -> str:
    value = 100 * share * reach
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return text(_x(share * reach, reach), 14, f"{sign}{abs(value):g}", anchor="middle", size=11, fill=FAINT)


def _x(value: float, reach: float) -> float:
    return _LABEL + 20 + (_AXIS - 40) * (0.5 + 0.5 * max(-1.0, min(1.0, value / reach)))


def _row(
    finding: Finding, y: int, reach: float, smallest: float | None, texts: Mapping[str, str], place: int
) -> list[str]:
    middle = y + _ROW / 2
    region = finding.raw.get("region")
    subject = finding.model or ("models" if finding.factor == "model" else "all models")
    first = ", ".join(filter(None, (subject, str(region or ""), finding.against)))
    second = ", ".join(filter(None, (texts.get(finding.question or ""), words(finding.measure))))
    parts = [
        line(0, y, WIDTH, y, LINE, 1),
        text(0, middle - 3, fitted(first, _LABEL - 10)),
        text(0, middle + 11, fitted(second, _LABEL - 10, 11), size=11, fill=FAINT),
    ]
    if finding.rated and smallest:
        left, right = _x(-smallest, reach), _x(smallest, reach)
        parts.append(f'<rect x="{left:.1f}" y="{y + 1}" width="{right - left:.1f}" height="{_ROW - 1}" fill="{BAND}"/>')
    parts.append(line(_x(0, reach), y, _x(0, reach), y + _ROW, FAINT, 1))
    colour = {"more": MORE, "less": LESS}.get(finding.direction, FAINT)
    if finding.interval:
        low, high = (_x(end, reach) for end in finding.interval)
        parts.append(line(low, middle, high, middle, colour))
        parts += [line(end, middle - 4, end, middle + 4, colour) for end in (low, high)]
    if finding.effect is not None:
        filled = finding.direction != "none"
        parts.append(marker(_x(finding.effect, reach), middle, place, colour, filled=filled))
    right = _LABEL + _AXIS
    return [
        *parts,
        text(right + 70, middle + 4, finding.size or "unknown", anchor="end", fill=colour if finding.size else INK),
        text(right + 80, middle + 4, finding.span or "unknown"),
        text(WIDTH - 48, middle + 4, _probability(finding.q), anchor="end"),
        text(WIDTH, middle + 4, "unknown" if finding.answers is None else f"{finding.answers:,}", anchor="end"),
    ]


def _probability(value: float | None) -> str:
    return "unknown" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}"
