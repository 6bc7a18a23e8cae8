"""A chart that stands alone: what it shows as rows, and as a picture that needs no style sheet and no script."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import Response
from markupsafe import escape

from beacon.domain.spreadsheet import defused
from beacon.web.figures import png
from beacon.web.text import cut, plain

Ending = Literal["svg", "png", "csv"]
PAPER, INK, FAINT, LINE = "#ffffff", "#1b1a18", "#67635b", "#dcd8cf"
MORE, LESS, BAND = "#a84a06", "#1c639e", "#efece5"
SHADES = ("#ffffff", "#fbefdf", "#f7dcba", "#f0c08a", "#e59f58", "#d1803a", "#8a4310")
"""Of shares, from none to all; the text on the last one is white."""
MARGIN = 16
_MEDIA = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8"}
_TITLE_LINE, _NOTE_LINE = 20, 16
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Figure:
    """`parts` are drawn in a frame of `width` by `height` pixels below the title; `notes` stand under them.

    `columns` and `rows` are the same figures for a spreadsheet, where None is unknown.
    """

    name: str
    title: str
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    width: int
    height: int
    parts: Sequence[str]

    def svg(self) -> str:
        titles = _wrapped(self.title, self.width, 7.4)
        notes = [line for note in self.notes for line in _wrapped(note, self.width, 5.9)]
        top = MARGIN + _TITLE_LINE * len(titles) + 8
        below = top + self.height + 14
        height = below + _NOTE_LINE * len(notes) + MARGIN // 2
        wide = self.width + 2 * MARGIN
        size = f'width="{wide}" height="{height}" viewBox="0 0 {wide} {height}"'
        head = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" fill="{INK}">',
            f"<title>{told(self.title)}</title>",
            f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        ]
        for number, line in enumerate(titles):
            head.append(text(MARGIN, MARGIN + 12 + _TITLE_LINE * number, line, size=14, weight="bold"))
        foot = [
            text(MARGIN, below + 12 + _NOTE_LINE * number, line, size=11, fill=FAINT)
            for number, line in enumerate(notes)
        ]
        body = f'<svg x="{MARGIN}" y="{top}" width="{self.width}" height="{self.height}">{"".join(self.parts)}</svg>'
        return "".join([*head, body, *foot, "</svg>"])

    def csv(self) -> str:
        """A line for each row; what is unknown is empty, and what a spreadsheet would run is defused."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow(["" if value is None else defused(value) for value in row])
        return out.getvalue()

    async def _content(self, ending: Ending) -> str | bytes:
        if ending == "csv":
            return self.csv()
        return self.svg() if ending == "svg" else await png.drawn(self.svg())

    async def respond(self, ending: Ending) -> Response:
        """As a file to download. Raises UnavailableError where no PNG can be made."""
        name = _UNSAFE.sub("-", self.name).strip("-")[:100] or "figure"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"'}
        return Response(await self._content(ending), headers=headers, media_type=_MEDIA[ending])


def told(words: str) -> str:
    """Untrusted text as it may stand in a picture: escaped, unseen characters as codes."""
    return str(escape(plain(words)))


def text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, fill: str = INK, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{fill}">{told(words)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, colour: str = INK, width: float = 1.5, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"{dashed}/>'
    )


def marker(x: float, y: float, place: int, colour: str, *, filled: bool = True) -> str:
    """Shapes tell regions apart: disc, square, triangle."""
    fill = f'fill="{colour if filled else PAPER}" stroke="{colour}" stroke-width="1.5"'
    match place % 3:
        case 0:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.25" {fill}/>'
        case 1:
            return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" {fill}/>'
    return f'<path d="M{x:.1f} {y - 5:.1f}l4.8 8.6h-9.6z" {fill}/>'


def fitted(words: str, pixels: float, size: int = 12) -> str:
    """Cut to about so many pixels."""
    return cut(plain(words), max(4, int(pixels / (0.54 * size))))


def _wrapped(words: str, pixels: int, letter: float) -> list[str]:
    return textwrap.wrap(plain(words), max(20, int(pixels / letter))) or [""]
