"""Whether texts of two arms are further apart than texts of one arm.

Only within a language, and only where cells have two answers or more: the distance between repeats is the
noise. Wording alone is compared; it is never a claim about content.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from beacon.analysis import student
from beacon.analysis.cells import Cells
from beacon.analysis.comparison import CellPair, Comparison
from beacon.analysis.draws import Bits, p_value
from beacon.analysis.ngrams import squared_distances, vector
from beacon.analysis.observation import Cell
from beacon.analysis.pair import TIE, Direction
from beacon.analysis.settings import MINIMUM_CLUSTERS

POOL = 1_000
"""Ways of dividing one stratum's texts that are looked at: all of them, or this many drawn ones."""

LIKE = {"region", "persona", "run"}
"""Factors whose levels are expected to share their wording; models and languages do not."""


@dataclass(frozen=True, slots=True)
class CellTexts:
    """The vectors of one cell's texts, a row each, in the order of the texts; `digest` identifies the
    texts."""

    vectors: NDArray[np.float32]
    digest: str


Vectors = Callable[[str, str], NDArray[np.float32]]
"""The vector of unit length of a text in a language."""


class Library:
    """The texts of cells, kept while one model is being compared; their wording unless other `vectors` are given."""

    def __init__(self, cells: Cells, vectors: Vectors = vector) -> None:
        self._cells = cells
        self._vectors = vectors
        self._model: str | None = None
        self._kept: dict[Cell, CellTexts] = {}

    def of(self, cell: Cell) -> CellTexts:
        if cell.model != self._model:
            self._model, self._kept = cell.model, {}
        if cell not in self._kept:
            texts = sorted(o.answer for o in self._cells[cell].answered if o.answer and not o.answer.isspace())
            vectors = np.array([self._vectors(text, cell.language) for text in texts], dtype=np.float32)
            digest = sha256("\0".join(texts).encode("utf-8", errors="surrogatepass")).hexdigest()
            self._kept[cell] = CellTexts(vectors, digest)
        return self._kept[cell]


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
    """Squared distances between all texts of one stratum, the first arm's first."""

    distances: NDArray[np.float64]
    na: int
    identity: tuple[str, str]

    @property
    def nb(self) -> int:
        return len(self.distances) - self.na

    def means(self) -> tuple[float, float, float]:
        """Between the arms, within the first, within the second."""
        a, b = self.distances[: self.na, : self.na], self.distances[self.na :, self.na :]
        between = float(self.distances[: self.na, self.na :].mean())
        return between, float(a.sum()) / (self.na * (self.na - 1)), float(b.sum()) / (self.nb * (self.nb - 1))


def compare_texts(comparison: Comparison, library: Library, *, alpha: float, draws: int, seed: int) -> TextTest | None:
    """None where fewer than 6 questions have two texts in both arms.

    The arms are taken in the order of their texts' digests, so that neither names nor the order of rows can
    change a draw.
    """
    swapped = _digest(comparison, library, 1) < _digest(comparison, library, 0)
    clusters = [found for _, pairs in comparison.clusters if (found := _strata(pairs, library, swapped=swapped))]
    q = len(clusters)
    if q < MINIMUM_CLUSTERS:
        return None
    strata = [stratum for cluster in clusters for stratum in cluster]
    between, first, second = (_averages(clusters, place) for place in range(3))
    excess = sorted(round(b - (x + y) / 2, 9) for b, x, y in zip(between, first, second, strict=True))
    effect = math.fsum(excess) / q
    error = math.sqrt(math.fsum((e - effect) ** 2 for e in excess) / (q - 1) / q)
    p_t = student.two_sided_p(effect / error, q - 1) if effect > 0 and error > 0 else 1.0
    half = student.quantile(1 - alpha / 2, q - 1) * error
    within = (math.fsum(first) / q, math.fsum(second) / q)
    n = (sum(stratum.na for stratum in strata), sum(stratum.nb for stratum in strata))
    up, down = sum(e > 0 for e in excess), sum(e < 0 for e in excess)
    return TextTest(
        effect=effect,
        interval=(effect - half, effect + half),
        p=max(p_t, _pseudo_f_p(strata, draws, seed)),
        between=math.fsum(between) / q,
        within=within[::-1] if swapped else within,
        n=n[::-1] if swapped else n,
        clusters=q,
        direction=Direction(up, down, q - up - down),
    )


def _averages(clusters: list[list[_Stratum]], place: int) -> list[float]:
    return [math.fsum(stratum.means()[place] for stratum in cluster) / len(cluster) for cluster in clusters]


def _digest(comparison: Comparison, library: Library, arm: int) -> list[str]:
    return sorted(library.of(pair[arm]).digest for pair in comparison.pairs)


def _strata(pairs: tuple[CellPair, ...], library: Library, *, swapped: bool) -> list[_Stratum]:
    found = []
    for pair in pairs:
        a, b = (library.of(cell) for cell in (reversed(pair) if swapped else pair))
        if len(a.vectors) > 1 and len(b.vectors) > 1:
            distances = squared_distances(np.concatenate((a.vectors, b.vectors)))
            found.append(_Stratum(distances, len(a.vectors), (a.digest, b.digest)))
    return found


def _pseudo_f_p(strata: list[_Stratum], draws: int, seed: int) -> float:
    """Permutation of the arms' labels within each stratum (Anderson 2001). With the total fixed, the ratio of
    between to within grows as the sum of squares within the arms falls, so that this sum is the statistic;
    each stratum's is divided by its mean under permutation, so that long texts do not outweigh short ones.
    """
    ordered = sorted(strata, key=lambda stratum: stratum.identity)
    bits = Bits("texts", seed, draws, [stratum.identity for stratum in ordered])
    total = np.zeros(draws)
    observed = 0.0
    for stratum in ordered:
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
    na = float(first[0].sum())
    nb = len(distances) - na
    return np.round(_quadratic(first, distances) / (2 * na) + _quadratic(1 - first, distances) / (2 * nb), 9)


def _quadratic(rows: NDArray[np.float64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """z' D z for every row z; in blocks for the reason told in `ngrams`."""
    count, size = rows.shape
    block = math.gcd(count, 50)
    products = np.matmul(rows.reshape(count // block, block, size), distances).reshape(rows.shape)
    return np.asarray((products * rows).sum(axis=1))


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
