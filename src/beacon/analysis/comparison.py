"""Which arms are compared, and what is held equal between them.

| factor   | compared within        | strata                                   | clusters  |
|----------|------------------------|------------------------------------------|-----------|
| region   | a model                | question, persona, language              | questions |
| language | a model                | question, region, persona                | questions |
| persona  | a model in a region    | question, language                       | questions |
| model    | the whole job          | question, region, persona, language      | questions |

Region, language and persona are also pooled over the models, which are then the clusters. Two regions without
a common language are compared across their languages: region with language. The persona `regional` has another
prompt in every region, so that regions under it are a comparison of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from beacon.analysis.cells import Cells, Tally
from beacon.analysis.observation import Cell
from beacon.analysis.pair import Cluster, Counts
from beacon.analysis.settings import AnalysisSettings

Factor = Literal["region", "model", "language", "persona"]
Level = Literal["overall", "pooled", "question"]
Context = tuple[tuple[str, str], ...]
CellPair = tuple[Cell, Cell]

REGIONAL = "regional"


@dataclass(frozen=True, slots=True)
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
)


def comparisons(cells: Cells, settings: AnalysisSettings) -> list[Comparison]:
    """All comparisons that the job's factors allow, whether or not there are enough clusters to test them."""
    found: list[Comparison] = []
    for design in DESIGNS:
        if design.cluster == "model" and len({cell.model for cell in cells}) < 2:
            continue
        for persona, chosen in _by_prompt(cells, design.factor):
            found += _compare(design, chosen, persona, settings)
    return found


def _by_prompt(cells: Iterable[Cell], factor: Factor) -> list[tuple[Context, list[Cell]]]:
    """The cells whose prompts are alike in all levels of the factor, and apart from them those whose are not."""
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
        levels: dict[str, list[Cell]] = {}
        for cell in contexts[context]:
            levels.setdefault(getattr(cell, design.factor), []).append(cell)
        for a, b in combinations(settings.in_order(design.factor, set(levels)), 2):
            level: Level = "overall" if design.cluster == "question" else "pooled"
            clusters = _clusters(design, levels[a], levels[b])
            yield Comparison(design.factor, level, (a, b), context + persona, clusters)


def _clusters(design: Design, a: list[Cell], b: list[Cell]) -> tuple[tuple[str, tuple[CellPair, ...]], ...]:
    ignored = {design.factor}
    if design.factor == "region" and not {cell.language for cell in a} & {cell.language for cell in b}:
        ignored.add("language")
    first, second = _strata(a, ignored), _strata(b, ignored)
    clusters: dict[str, list[CellPair]] = {}
    for stratum in sorted(first.keys() & second.keys()):
        clusters.setdefault(getattr(first[stratum], design.cluster), []).append((first[stratum], second[stratum]))
    return tuple((name, tuple(pairs)) for name, pairs in sorted(clusters.items()))


def _strata(cells: list[Cell], ignored: set[str]) -> dict[tuple[str, ...], Cell]:
    """The cells by what both arms must have in common. A stratum with two cells (a region with several
    languages against one with none of them) cannot be matched and is left out."""
    kept = [name for name in Cell._fields if name not in ignored]
    strata: dict[tuple[str, ...], Cell] = {}
    twice: set[tuple[str, ...]] = set()
    for cell in cells:
        key = tuple(getattr(cell, name) for name in kept)
        if key in strata:
            twice.add(key)
        strata[key] = cell
    return {key: cell for key, cell in strata.items() if key not in twice}


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
            Counts(*tally[a], *tally[b]) for a, b in pairs if tally[a][1] and tally[b][1]
        )
        if cluster:
            clusters.append(cluster)
            used.append(name)
        else:
            left_out.append(name)
    return Table(clusters, used, left_out)
