"""The live part of a job's page: which of its elements changed since a viewer last saw them.

Every update is rendered from one board, so all of it is the database at the `seq` that it names. Small parts
are compared with what was rendered before; of the matrix only changed cells are rendered. An update is made
once for all viewers that stand at the same point.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markupsafe import Markup
from sse_starlette import ServerSentEvent

from beacon.web import charts
from beacon.web.board import Board
from beacon.web.boards import MOST_BOARDS
from beacon.web.pages.job_view import JobView
from beacon.web.pages.render import Renderer, url

WHOLE_PARTS = (
    "tags",
    "state",
    "seq",
    "acts",
    "strips",
    "stragglers",
    "say",
    "stages",
    "facts",
    "total",
    "finalizing",
    "providers",
    "failures",
    "deeds",
)
"""Macros of `job/parts.html` that take the view alone."""

MOST_MADE = 64
"""Updates that are kept for viewers at different points; whoever asks may name any point."""


@dataclass(frozen=True, slots=True)
class Position:
    """What a viewer has seen: cells up to `seq`, small parts up to `revision`."""

    seq: int
    revision: int


@dataclass(frozen=True, slots=True)
class Update:
    """A message as it goes over the wire, the same bytes for all who stand at the same point."""

    message: bytes
    position: Position


class LivePage:
    """The rendered parts of one job's page, and when each last changed."""

    def __init__(self, renderer: Renderer) -> None:
        self._macros = renderer.template("job/parts.html").module
        self._parts: dict[str, str] = {}
        self._changed: dict[str, int] = {}
        self._made: dict[Position, Update] = {}
        self._view: JobView
        self._seq = -1
        self._second = -1
        self.revision = 0

    @property
    def kept(self) -> int:
        """How many updates are held for viewers."""
        return len(self._made)

    def update(self, board: Board, now: float, look: Callable[[], JobView], seen: Position) -> Update | None:
        """What changed since `seen`, and where the viewer stands then; None where nothing did.

        `look` is called only where something may have changed: once for all viewers.
        """
        if board.seq != self._seq or int(now) != self._second:
            self._view = look()
            self._render(self._view)
        here = Position(board.seq, self.revision)
        if here == seen:
            return None
        if seen not in self._made:
            if len(self._made) >= MOST_MADE:
                self._made.clear()
            view = self._view
            html = {part: self._parts[part] for part, changed in self._changed.items() if changed > seen.revision}
            cells, marks = changed_cells(view.board, seen.seq)
            told = {"seq": here.seq, "now": view.now, "title": view.title, "over": view.job.over}
            told |= {"html": html | cells, "marks": marks}
            data = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            self._made[seen] = Update(ServerSentEvent(data, id=str(here.seq)).encode(), here)
        return self._made[seen]

    def _render(self, view: JobView) -> None:
        moved = view.job.seq != self._seq
        self._seq, self._second = view.job.seq, int(view.now)
        parts = self._all_parts(view) if moved else self._waits(view)
        fresh = {part: html for part, html in parts if self._parts.get(part) != html}
        if fresh or moved:
            self.revision += 1
            self._parts |= fresh
            self._changed |= dict.fromkeys(fresh, self.revision)
            self._made.clear()

    def _all_parts(self, view: JobView) -> Iterator[tuple[str, str]]:
        for name in WHOLE_PARTS:
            yield f"p-{name}", str(getattr(self._macros, name)(view))
        yield from self._rows(view)
        board, column = view.board, self._macros.column  # type: ignore[attr-defined]
        for m, model in enumerate(board.models):
            for r, region in enumerate(board.regions):
                part = f"d-{m}-{r}"
                yield part, str(column(part, view, model, region, r == 0))

    def _rows(self, view: JobView) -> Iterator[tuple[str, str]]:
        row = self._macros.row  # type: ignore[attr-defined]
        for n, (region, counts) in enumerate(view.board.by_region.items()):
            yield f"r-{n}", str(row(f"r-{n}", region, counts, view, view.waits_of(region)))
        for n, (model, counts) in enumerate(view.board.by_model.items()):
            yield f"m-{n}", str(row(f"m-{n}", model, counts, view))

    def _waits(self, view: JobView) -> Iterator[tuple[str, str]]:
        """What may change although the job did not: what its providers wait for."""
        yield "p-providers", str(self._macros.providers(view))  # type: ignore[attr-defined]
        yield from self._rows(view)


class LivePages:
    """The live pages of the jobs looked at last."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._pages: OrderedDict[str, LivePage] = OrderedDict()

    def of(self, job_id: str) -> LivePage:
        page = self._pages.get(job_id)
        if page is None:
            page = self._pages[job_id] = LivePage(self._renderer)
            if len(self._pages) > MOST_BOARDS:
                self._pages.popitem(last=False)
        self._pages.move_to_end(job_id)
        return page


def changed_cells(board: Board, seq: int) -> tuple[dict[str, str], dict[int, str]]:
    """Cells that changed after `seq`: dense ones as markup by their id; of those that show a mark an execution, by
    their number, one digit a mark, its place in `CODES`. At a thousand executions a second the markup of all those
    marks would be a hundred times as much."""
    dense, marks = {}, {}
    for number in board.cells_since(seq):
        statuses = bytes(board.cells[number])
        if len(statuses) > charts.MOST_MARKS:
            dense[f"c-{number}"] = str(charts.cell(statuses))
        else:
            marks[number] = "".join(map(str, statuses))
    return dense, marks


def cells_of(board: Board, question: str, executions: str) -> Markup:
    """A row of the matrix: one linked cell for each model and region."""
    cells = []
    for model in board.models:
        for place, region in enumerate(board.regions):
            number = board.cell(question, model, region)
            href = url(executions, question=question, model=model, region=region)
            sep = Markup(' class="sep"') if place == 0 else ""
            inner = charts.cell(bytes(board.cells[number]))
            cells.append(Markup('<td{}><a id="c-{}" href="{}">{}</a></td>').format(sep, number, href, inner))
    return Markup("").join(cells)
