"""The heat map as files: CSV for a spreadsheet, SVG for a document. Both are of the chart as it is filtered."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from markupsafe import escape

from beacon.domain.spreadsheet import defused
from beacon.web.pages.findings_view import HeatCell
from beacon.web.text import plain

HeatRows = Sequence[tuple[str, list[HeatCell]]]
COLUMNS = ("question", "model", "region", "measure", "share", "answers", "missing", "differs")
_FILLS = ("#ffffff", "#fbefdf", "#f7dcba", "#f0c08a", "#e59f58", "#d1803a", "#8a4310")
_CELL, _ROW, _LABEL, _HEAD = 64, 26, 320, 66


def as_csv(rows: HeatRows, measure: str) -> str:
    """A line for each cell; a share that is unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for question, cells in rows:
        for cell in cells:
            share = "" if cell.share is None else f"{cell.share:.4f}"
            values = (question, cell.model, cell.region, measure, share, cell.answers, cell.missing, cell.holds)
            writer.writerow([defused(value) for value in values])
    return out.getvalue()


def as_svg(rows: HeatRows, title: str) -> str:
    """A picture that stands alone: no style sheet, no script, every text escaped."""
    heads = rows[0][1] if rows else []
    width, height = _LABEL + _CELL * len(heads) + 8, _HEAD + _ROW * len(rows) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><title>{_text(title)}</title><rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="8" y="18" font-size="14" font-weight="bold">{_text(title)}</text>',
    ]
    for place, cell in enumerate(heads):
        x = _LABEL + _CELL * place
        if place == 0 or heads[place - 1].model != cell.model:
            parts.append(f'<text x="{x + 4}" y="40">{_text(cell.model)}</text>')
        parts.append(f'<text x="{x + _CELL / 2}" y="58" text-anchor="middle">{_text(cell.region)}</text>')
    for number, (question, cells) in enumerate(rows):
        y = _HEAD + _ROW * number
        parts.append(f'<text x="8" y="{y + 17}">{_text(question[:46])}</text>')
        parts += [_cell(cell, _LABEL + _CELL * place, y) for place, cell in enumerate(cells)]
    return "".join([*parts, "</svg>"])


def _cell(cell: HeatCell, x: int, y: int) -> str:
    ink = "#ffffff" if cell.step == len(_FILLS) - 1 else "#1b1a18"
    frame = ' stroke="#1b1a18" stroke-width="2"' if cell.holds else ' stroke="#e4e1d9"'
    return (
        f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_ROW - 2}" fill="{_FILLS[cell.step]}"{frame}/>'
        f'<text x="{x + _CELL / 2}" y="{y + 17}" text-anchor="middle" fill="{ink}">{cell.percent or "?"}</text>'
    )


def _text(text: str) -> str:
    return str(escape(plain(text)))
