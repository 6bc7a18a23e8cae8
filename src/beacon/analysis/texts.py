"""Whether texts of two arms are further apart than texts of one arm.

Only within a language, and only where cells have two answers or more: the distance between repeats is the
noise. Wording alone is compared; it is never a claim about content.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import student
from beacon.analysis.cells import Cells
from beacon.analysis.comparison import Comparison
from beacon.analysis.draws import Bits, p_value
from beacon.analysis.ngrams import squared_distances, vector
from beacon.analysis.observation import Cell
from beacon.analysis.pair import TIE, Direction
from beacon.analysis.settings import MINIMUM_CLUSTERS

POOL = 1_000
"""Ways of dividing one stratum's texts that are looked at: all of them, or this many drawn ones."""

LIKE = {"region", "persona"}
"""Factors whose levels are expected to share their wording; models and languages do not."""


class Vectors:
    """The vectors of cells, kept while one model is being compared."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._model: str | None = None
        self._kept: dict[Cell, NDArray[np.float32]] = {}

    def of(self, cell: Cell) -> NDArray[np.float32]:
        """One row a text, the texts in the order of their content."""
        if cell.model != self._model:
            self._model, self._kept = cell.model, {}
        if cell not in self._kept:
            texts = texts_of(self._cells, cell)
            rows = [vector(text, cell.language) for text in texts]
            self._kept[cell] = np.array(rows, dtype=np.float32)
        return self._kept[cell]


def texts_of(cells: Cells, cell: Cell) -> list[str]:
    return sorted(o.answer for o in cells[cell].answered if o.answer and o.answer.strip())


@dataclass(frozen=True, slots=True)
class TextTest:
    """`effect` is how much further apart texts of different arms are than texts of one arm, in squared
    distance; `between` and `within` are the distances themselves."""

    effect: float
    interval: tuple[float, float]
    p: float
    between: float
    within: tuple[float, float]
    n: tuple[int, int]
    clusters: int
    direction: Direction


@dataclass(frozen=True, slots=True)
class _Stratum:
    distances: NDArray[np.float64]
    na: int

    @property
    def nb(self) -> int:
        return len(self.distances) - self.na

    def means(self) -> tuple[float, float, float]:
        """Between the arms, within the first, within the second."""
        a, b = self.distances[: self.na, : self.na], self.distances[self.na :, self.na :]
        between = float(self.distances[: self.na, self.na :].mean())
        return between, float(a.sum()) / (self.na * (self.na - 1)), float(b.sum()) / (self.nb * (self.nb - 1))


def compare_texts(
    comparison: Comparison, cells: Cells, vectors: Vectors, *, alpha: float, draws: int, seed: int
) -> TextTest | None:
    """None where fewer than 6 questions have two texts in both arms."""
    clusters = [found for _, pairs in comparison.clusters if (found := _strata(pairs, cells, vectors))]
    q = len(clusters)
    if q < MINIMUM_CLUSTERS:
        return None
    means = [np.mean([stratum.means() for stratum in cluster], axis=0) for cluster in clusters]
    excess = sorted(round(float(m[0] - (m[1] + m[2]) / 2), 9) for m in means)
    effect = math.fsum(excess) / q
    error = math.sqrt(math.fsum((e - effect) ** 2 for e in excess) / (q - 1) / q)
    p_t = student.two_sided_p(effect / error, q - 1) if effect > 0 and error > 0 else 1.0
    identity = _identity(comparison, cells)
    p = max(p_t, _pseudo_f_p([stratum for cluster in clusters for stratum in cluster], draws, seed, identity))
    half = student.quantile(1 - alpha / 2, q - 1) * error
    overall = np.mean(means, axis=0)
    return TextTest(
        effect=effect,
        interval=(effect - half, effect + half),
        p=p,
        between=float(overall[0]),
        within=(float(overall[1]), float(overall[2])),
        n=(
            sum(stratum.na for cluster in clusters for stratum in cluster),
            sum(stratum.nb for cluster in clusters for stratum in cluster),
        ),
        clusters=q,
        direction=Direction(sum(e > 0 for e in excess), sum(e < 0 for e in excess), sum(e == 0 for e in excess)),
    )


def _strata(pairs: tuple[tuple[Cell, Cell], ...], cells: Cells, vectors: Vectors) -> list[_Stratum]:
    found = []
    for a, b in pairs:
        if len(texts_of(cells, a)) > 1 and len(texts_of(cells, b)) > 1:
            first, second = vectors.of(a), vectors.of(b)
            found.append(_Stratum(squared_distances(np.concatenate((first, second))), len(first)))
    return found


def _identity(comparison: Comparison, cells: Cells) -> str:
    """The same whichever arm is named first."""
    digests = []
    for arm in (0, 1):
        digest = sha256()
        for pair in comparison.pairs:
            for text in texts_of(cells, pair[arm]):
                digest.update(sha256(text.encode("utf-8", errors="surrogatepass")).digest())
        digests.append(digest.hexdigest())
    return "".join(sorted(digests))


def _pseudo_f_p(strata: list[_Stratum], draws: int, seed: int, identity: str) -> float:
    """Permutation of the arms' labels within each stratum (Anderson 2001). With the total fixed, the ratio of
    between to within grows as the sum of squares within the arms falls, so that this sum is the statistic;
    each stratum's is divided by its mean under permutation, so that long texts do not outweigh short ones.
    """
    bits = Bits("texts", seed, draws, identity)
    total = np.zeros(draws)
    observed = 0.0
    for stratum in strata:
        possible = _within(stratum.distances, _divisions(stratum.na, stratum.nb))
        mean = float(possible.mean())
        if mean <= 0:
            continue
        actual = np.zeros((1, len(stratum.distances)))
        actual[0, : stratum.na] = 1
        observed += float(_within(stratum.distances, actual)[0]) / mean
        places = (bits.words(draws).astype(np.uint64) * np.uint64(len(possible))) >> np.uint64(32)
        total += possible[places.astype(np.intp)] / mean
    return p_value(int(np.count_nonzero(total <= observed * (1 + TIE))), draws)


def _within(distances: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squares within the arms for every division (a row of 0 and 1) of the texts."""
    na = first[0].sum()
    nb = len(distances) - na
    second = 1 - first
    a = ((first @ distances) * first).sum(axis=1) / (2 * na)
    b = ((second @ distances) * second).sum(axis=1) / (2 * nb)
    return np.round(a + b, 9)


@lru_cache(maxsize=1024)
def _divisions(na: int, nb: int) -> NDArray[np.float64]:
    """The ways of choosing the first arm's texts: all, or POOL drawn ones."""
    size = na + nb
    if math.comb(size, na) <= POOL:
        chosen = list(combinations(range(size), na))
        rows = np.zeros((len(chosen), size))
        for row, members in enumerate(chosen):
            rows[row, list(members)] = 1
        return rows
    small = min(na, nb)
    keys = Bits("divisions", small, size - small).keys(POOL, size)
    drawn = (keys <= np.partition(keys, small - 1, axis=1)[:, small - 1 : small]).astype(np.float64)
    return drawn if na == small else 1 - drawn
