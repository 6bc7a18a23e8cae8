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

LIKE = {"region", "persona", "run"}
"""Factors whose levels are expected to share their wording; models and languages do not."""


@dataclass(frozen=True, slots=True)
class CellTexts:
    """The vectors of one cell's texts, a row each, in the order of the texts; `digest` identifies the
    texts."""

    vectors: NDArray[np.float32]
    digest: bytes


class Library:
    """The texts of cells, kept while one model is being compared."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._model: str | None = None
        self._kept: dict[Cell, CellTexts] = {}

    def of(self, cell: Cell) -> CellTexts:
        if cell.model != self._model:
            self._model, self._kept = cell.model, {}
        if cell not in self._kept:
            texts = sorted(
                o.answer for o in self._cells[cell].answered if o.answer and not o.answer.isspace()
            )
            vectors = np.array([vector(text, cell.language) for text in texts], dtype=np.float32)
            digest = sha256("\0".join(texts).encode("utf-8", errors="surrogatepass")).digest()
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
    comparison: Comparison, library: Library, *, alpha: float, draws: int, seed: int
) -> TextTest | None:
    """None where fewer than 6 questions have two texts in both arms."""
    clusters = [found for _, pairs in comparison.clusters if (found := _strata(pairs, library))]
    q = len(clusters)
    if q < MINIMUM_CLUSTERS:
        return None
    means = [np.mean([stratum.means() for stratum in cluster], axis=0) for cluster in clusters]
    excess = sorted(round(float(m[0] - (m[1] + m[2]) / 2), 9) for m in means)
    effect = math.fsum(excess) / q
    error = math.sqrt(math.fsum((e - effect) ** 2 for e in excess) / (q - 1) / q)
    p_t = student.two_sided_p(effect / error, q - 1) if effect > 0 and error > 0 else 1.0
    identity = _identity(comparison, library)
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
        direction=Direction(
            sum(e > 0 for e in excess), sum(e < 0 for e in excess), sum(e == 0 for e in excess)
        ),
    )


def _strata(pairs: tuple[tuple[Cell, Cell], ...], library: Library) -> list[_Stratum]:
    found = []
    for a, b in pairs:
        first, second = library.of(a).vectors, library.of(b).vectors
        if len(first) > 1 and len(second) > 1:
            found.append(_Stratum(squared_distances(np.concatenate((first, second))), len(first)))
    return found


def _identity(comparison: Comparison, library: Library) -> str:
    """The same whichever arm is named first."""
    digests = [b"".join(library.of(pair[arm]).digest for pair in comparison.pairs) for arm in (0, 1)]
    return sha256(b"".join(sorted(digests))).hexdigest()


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
