"""A job's executions as the portal shows them, held in memory at one `seq` and kept up by what moved.

A board is a projection of the database: it is filled from one snapshot and then follows the rows that moved,
read in one snapshot each, so that at `seq` it equals the database at `seq`. For every part of it the board
knows at which `seq` that part last changed, so a page that stands at an earlier one is sent only what differs.
"""

from __future__ import annotations

from array import array
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from beacon.domain.spec import JobSpec
from beacon.domain.states import TERMINAL, UNSUCCESSFUL, ExecutionStatus
from beacon.store.events import Event
from beacon.store.jobs import Job
from beacon.store.matrix import Mark, Standing
from beacon.web.pace import Pace

CODES = tuple(status.value for status in ExecutionStatus)
"""A status is one byte: its place here."""
CODE = {status: code for code, status in enumerate(CODES)}
PENDING = CODE[ExecutionStatus.PENDING.value]
DONE_CODES = frozenset(CODE[status.value] for status in TERMINAL)
LOST_CODES = frozenset(CODE[status.value] for status in UNSUCCESSFUL)
_NOWHERE = -1

Counts = list[int]
"""Executions by status, in the order of `CODES`."""


@dataclass(frozen=True, slots=True)
class FailureKey:
    """Failures that are told together."""

    status: str
    kind: str
    provider: str


@dataclass(slots=True)
class FailureGroup:
    """`sentence` is that of the latest; `first` orders groups by their first appearance.

    `cells` counts by (model, region).
    """

    key: FailureKey
    first: int
    ordinals: set[int] = field(default_factory=set)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    stage: str | None = None
    sentence: str | None = None

    @property
    def count(self) -> int:
        return len(self.ordinals)

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(model for (model, _), count in self.cells.items() if count > 0))

    @property
    def regions(self) -> list[str]:
        return list(dict.fromkeys(region for (_, region), count in self.cells.items() if count > 0))


@dataclass(slots=True)
class Row:
    """Executions of one region or one model: counts, and durations of the completed ones in ascending order."""

    counts: Counts
    durations: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def done(self) -> int:
        return sum(self.counts[code] for code in DONE_CODES)

    @property
    def lost(self) -> int:
        return sum(self.counts[code] for code in LOST_CODES)

    @property
    def median_ms(self) -> float | None:
        values = self.durations
        if not values:
            return None
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


class Board:
    """Cells are numbered question by question, in each model by model, in each region by region.

    Within a cell of the matrix executions lie by persona, language and repeat, as the spec orders them.
    """

    def __init__(self, spec: JobSpec, standing: Standing) -> None:
        self.spec = spec
        self.models = spec.models
        self.regions = spec.regions
        self.questions = tuple(question.id for question in spec.questions)
        self._cell_index = {
            (question, model, region): number
            for number, (question, model, region) in enumerate(
                (q, m, r) for q in self.questions for m in self.models for r in self.regions
            )
        }
        self._size = {r: len(spec.personas) * len(spec.languages_of(r)) * spec.repeats for r in self.regions}
        self.fill(standing)

    def fill(self, standing: Standing) -> None:
        """Starts anew from all stored executions; what is not stored yet is pending."""
        self.job: Job = standing.job
        width = len(self.questions) * len(self.models)
        self.cells = [bytearray([PENDING]) * self._size[r] for _ in range(width) for r in self.regions]
        self.cell_seq = array("q", [self.seq]) * len(self.cells)
        self.by_region = {r: Row(_pending(self._size[r] * width)) for r in self.regions}
        per_model = len(self.questions) * sum(self._size.values())
        self.by_model = {m: Row(_pending(per_model)) for m in self.models}
        self.column_done = Counter[tuple[str, str]]()
        self.pace = Pace()
        self.deeds: list[Event] = standing.deeds
        self._cell_of = array("l", [_NOWHERE]) * self.job.total
        self._place_of = array("l", [0]) * self.job.total
        self._groups: dict[FailureKey, FailureGroup] = {}
        self._failed: dict[int, FailureKey] = {}
        self._appeared = 0
        self._place(standing.marks)
        self._take(standing.marks)

    @property
    def seq(self) -> int:
        return self.job.seq

    def follow(self, standing: Standing) -> None:
        """Takes what moved since the board's `seq`."""
        if standing.complete:
            self.fill(standing)
            return
        self.job = standing.job
        self.deeds = [*self.deeds, *standing.deeds]
        self._take(standing.marks)

    def size_of(self, region: str) -> int:
        """Executions of one matrix cell in this region."""
        return self._size[region]

    def cell(self, question: str, model: str, region: str) -> int:
        return self._cell_index[question, model, region]

    def cells_since(self, seq: int) -> Iterator[int]:
        """Numbers of the cells that changed after `seq`."""
        return (number for number, changed in enumerate(self.cell_seq) if changed > seq)

    def failures(self) -> list[FailureGroup]:
        """In order of first appearance, so that none moves while the job runs."""
        return sorted((group for group in self._groups.values() if group.ordinals), key=lambda group: group.first)

    def _place(self, marks: list[Mark]) -> None:
        personas: dict[str, int] = {persona: number for number, persona in enumerate(self.spec.personas)}
        languages = {r: {name: n for n, name in enumerate(self.spec.languages_of(r))} for r in self.regions}
        repeats = self.spec.repeats
        for mark in marks:
            slot = languages[mark.region]
            block = personas[mark.persona] * len(slot) + slot[mark.language]
            self._cell_of[mark.ordinal] = self._cell_index[mark.question_id, mark.model, mark.region]
            self._place_of[mark.ordinal] = block * repeats + mark.repeat

    def _take(self, marks: list[Mark]) -> None:
        for mark in marks:
            number = self._cell_of[mark.ordinal]
            cell, place = self.cells[number], self._place_of[mark.ordinal]
            before, after = cell[place], CODE[mark.status]
            cell[place] = after
            self.cell_seq[number] = self.seq
            for row in (self.by_region[mark.region], self.by_model[mark.model]):
                row.counts[before] -= 1
                row.counts[after] += 1
                if mark.status == ExecutionStatus.COMPLETED and before != after and mark.duration_ms is not None:
                    insort(row.durations, mark.duration_ms)
            self.column_done[mark.model, mark.region] += (after in DONE_CODES) - (before in DONE_CODES)
            if after in DONE_CODES and before not in DONE_CODES:
                self.pace.recorded(mark.provider, mark.persisted_at)
            self._regroup(mark, after in LOST_CODES)

    def _regroup(self, mark: Mark, lost: bool) -> None:
        known = self._failed.pop(mark.ordinal, None)
        if known is not None:
            self._groups[known].ordinals.discard(mark.ordinal)
            self._groups[known].cells[mark.model, mark.region] -= 1
        if not lost:
            return
        key = FailureKey(mark.status, mark.kind or "unknown", mark.provider or "")
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = FailureGroup(key, self._appeared)
            self._appeared += 1
        group.ordinals.add(mark.ordinal)
        group.cells[mark.model, mark.region] += 1
        group.stage, group.sentence = mark.stage, mark.error
        self._failed[mark.ordinal] = key


def _pending(count: int) -> Counts:
    counts = [0] * len(CODES)
    counts[PENDING] = count
    return counts
