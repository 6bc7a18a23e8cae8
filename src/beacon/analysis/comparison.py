"""Which arms are compared, and what is held equal between them.

| factor   | compared within        | strata                                   | clusters  |
|----------|------------------------|------------------------------------------|-----------|
| region   | a model                | question, persona, language              | questions |
| language | a model                | question, region, persona                | questions |
| persona  | a model in a region    | question, language                       | questions |
| model    | the whole job          | question, region, persona, language      | questions |
| run      | a model in a region    | question, persona, language              | questions |

Region, language, persona and run are also pooled over the models, which are then the clusters. Two regions
without a common language are compared across their languages: region with language. The persona `regional`
has another prompt in every region, so that regions under it are a comparison of their own. A proposition and its
reverse are one cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from typing import Literal

from beacon.analysis.cells import Cells, Tally
from beacon.analysis.finding import Factor, Level
from beacon.analysis.observation import Cell
from beacon.analysis.pair import Cluster, Counts
from beacon.analysis.settings import AnalysisSettings

Context = tuple[tuple[str, str], ...]
CellPair = tuple[Cell, Cell]
Stratum = tuple[str, ...]

REGIONAL = "regional"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two levels of a factor, and the cells of both arms by cluster.

    `context` holds what is the same in both arms and named in the finding, as pairs of attribute and value.
    """

    factor: Factor
    level: Level
    groups: tuple[str, str]
    context: Context
    clusters: tuple[tuple[str, tuple[CellPair, ...]], ...]

    def fixed(self, attribute: str) -> str | None:
        return dict(self.context).get(attribute)

    @property
    def pairs(self) -> list[CellPair]:
        return [pair for _, pairs in self.clusters for pair in pairs]

    @property
    def languages(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The languages of either arm."""
        a = {first.language for first, _ in self.pairs}
        b = {second.language for _, second in self.pairs}
        return tuple(sorted(a)), tuple(sorted(b))

    @property
    def language_bound(self) -> bool:
        """Whether the arms of a comparison of regions were asked in different languages."""
        return self.factor == "region" and self.languages[0] != self.languages[1]

    @property
    def family(self) -> tuple[str, ...]:
        """Comparisons that are corrected together, within one measure."""
        persona = self.fixed("persona")
        return (self.factor, self.level) if persona is None else (self.factor, self.level, persona)


@dataclass(frozen=True, slots=True)
class Design:
    factor: Factor
    context: tuple[str, ...]
    cluster: Literal["question", "model"]


DESIGNS = (
    Design("region", ("model",), "question"),
    Design("region", (), "model"),
    Design("language", ("model",), "question"),
    Design("language", (), "model"),
    Design("persona", ("model", "region"), "question"),
    Design("persona", ("region",), "model"),
    Design("model", (), "question"),
    Design("run", ("model", "region"), "question"),
    Design("run", (), "model"),
)


def comparisons(cells: Cells, settings: AnalysisSettings) -> list[Comparison]:
    """All comparisons that the job's factors allow, whether or not there are enough clusters to test them."""
    found: list[Comparison] = []
    for design in DESIGNS:
        if design.factor not in settings.factors:
            continue
        if design.cluster == "model" and len({cell.model for cell in cells}) < 2:
            continue
        for persona, chosen in _by_prompt(cells, design.factor):
            found += _compare(design, chosen, persona, settings)
    return found


def _by_prompt(cells: Iterable[Cell], factor: Factor) -> list[tuple[Context, list[Cell]]]:
    """The cells whose prompts are alike in all levels of the factor, and apart from them those whose are
    not."""
    if factor != "region":
        return [((), list(cells))]
    return [
        ((), [cell for cell in cells if cell.persona != REGIONAL]),
        ((("persona", REGIONAL),), [cell for cell in cells if cell.persona == REGIONAL]),
    ]


def _compare(design: Design, cells: list[Cell], persona: Context, settings: AnalysisSettings) -> Iterator[Comparison]:
    contexts: dict[Context, list[Cell]] = {}
    for cell in cells:
        contexts.setdefault(tuple((name, getattr(cell, name)) for name in design.context), []).append(cell)
    for context in sorted(contexts):
        arms: dict[str, _Arm] = {}
        for cell in contexts[context]:
            arms.setdefault(getattr(cell, design.factor), _Arm(design.factor)).add(cell)
        for a, b in combinations(settings.in_order(design.factor, set(arms)), 2):
            level: Level = "overall" if design.cluster == "question" else "pooled"
            clusters = _clusters(design, arms[a], arms[b], settings.reverses)
            yield Comparison(design.factor, level, (a, b), context + persona, clusters)


class _Arm:
    """The cells of one level of a factor, by what the other arm must have in common with them."""

    def __init__(self, factor: Factor) -> None:
        names = [name for name in Cell._fields if name != factor]
        self._with_language = itemgetter(*(Cell._fields.index(name) for name in names))
        self._without = itemgetter(*(Cell._fields.index(name) for name in names if name != "language"))
        self.matched: dict[Stratum, Cell] = {}
        self.across: dict[Stratum, list[Cell]] = {}
        self.languages: set[str] = set()

    def add(self, cell: Cell) -> None:
        self.matched[self._with_language(cell)] = cell
        self.across.setdefault(self._without(cell), []).append(cell)
        self.languages.add(cell.language)

    def single(self) -> dict[Stratum, Cell]:
        """The cells matched across languages; what was asked in several languages cannot be matched."""
        return {stratum: cells[0] for stratum, cells in self.across.items() if len(cells) == 1}


def _clusters(
    design: Design, a: _Arm, b: _Arm, reverses: Mapping[str, str]
) -> tuple[tuple[str, tuple[CellPair, ...]], ...]:
    """By name; a question and its reverse are one cluster, under the question's name."""
    bound = design.factor == "region" and not a.languages & b.languages
    first, second = (a.single(), b.single()) if bound else (a.matched, b.matched)
    clusters: dict[str, list[CellPair]] = {}
    place = Cell._fields.index(design.cluster)
    for stratum, cell in first.items():
        if stratum in second:
            name = reverses.get(cell[place], cell[place]) if design.cluster == "question" else cell[place]
            clusters.setdefault(name, []).append((cell, second[stratum]))
    return tuple((name, tuple(pairs)) for name, pairs in sorted(clusters.items()))


@dataclass(frozen=True, slots=True)
class Table:
    """What a comparison counts: its clusters that have an answer in both arms, and those that have not."""

    clusters: list[Cluster]
    used: list[str]
    left_out: list[str]


def table(comparison: Comparison, tally: Tally) -> Table:
    clusters: list[Cluster] = []
    used: list[str] = []
    left_out: list[str] = []
    for name, pairs in comparison.clusters:
        cluster = tuple(
            Counts(tally[a].k, tally[a].n, tally[b].k, tally[b].n) for a, b in pairs if tally[a].n and tally[b].n
        )
        if cluster:
            clusters.append(cluster)
            used.append(name)
        else:
            left_out.append(name)
    return Table(clusters, used, left_out)
