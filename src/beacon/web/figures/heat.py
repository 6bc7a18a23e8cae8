"""The heat map: question by (model, region)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from beacon.web.figures.figure import FAINT, INK, LINE, SHADES, Figure, fitted, text
from beacon.web.pages.findings_view import HeatCell

HeatRows = Sequence[tuple[str, list[HeatCell]]]
COLUMNS = ("question", "model", "region", "measure", "share", "answers", "missing", "differs")
_CELL, _ROW, _LABEL, _HEAD = 64, 26, 360, 44


def heat(name: str, title: str, notes: Sequence[str], measure: str, rows: HeatRows, texts: Mapping[str, str]) -> Figure:
    heads = rows[0][1] if rows else []
    parts: list[str] = []
    for place, cell in enumerate(heads):
        x = _LABEL + _CELL * place
        if place == 0 or heads[place - 1].model != cell.model:
            columns = sum(other.model == cell.model for other in heads)
            parts.append(text(x + 4, 14, fitted(cell.model, _CELL * columns - 8), weight="bold"))
        parts.append(text(x + _CELL / 2, 36, fitted(cell.region, _CELL - 4), anchor="middle", size=11, fill=FAINT))
    for number, (question, cells) in enumerate(rows):
        y = _HEAD + _ROW * number
        parts.append(text(0, y + 17, fitted(texts.get(question, question), _LABEL - 12)))
        parts += [_cell(cell, _LABEL + _CELL * place, y) for place, cell in enumerate(cells)]
    every = [_values(question, cell, measure) for question, cells in rows for cell in cells]
    width, height = _LABEL + _CELL * len(heads), _HEAD + _ROW * max(1, len(rows))
    return Figure(name, title, tuple(notes), COLUMNS, every, width, height, parts)


def _values(question: str, cell: HeatCell, measure: str) -> tuple[object, ...]:
    share = None if cell.share is None else f"{cell.share:.4f}"
    return (question, cell.model, cell.region, measure, share, cell.answers, cell.missing, cell.holds)


def _cell(cell: HeatCell, x: int, y: int) -> str:
    ink = SHADES[0] if cell.step == len(SHADES) - 1 else INK
    frame = f'stroke="{INK}" stroke-width="2"' if cell.holds else f'stroke="{LINE}"'
    box = f'<rect x="{x + 1}" y="{y + 1}" width="{_CELL - 2}" height="{_ROW - 2}" fill="{SHADES[cell.step]}" {frame}/>'
    return box + text(x + _CELL / 2, y + 17, cell.percent or "?", anchor="middle", fill=ink)
