"""Random draws that are the same on every machine and in every version of NumPy.

Only the raw bits of PCG64 are used (`random_raw`; NumPy promises that they never change, which it does not of
its distributions), turned into whole numbers by inverting a distribution function that was summed in
integers."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
_SCALE = 1 << 32
_FEW = 24


class Bits:
    """A stream of 32-bit words, seeded by whatever identifies the test: names, numbers and lists of them.

    The seed is the SHA-256, read as a big-endian number, of the identity as JSON without spaces.
    """

    def __init__(self, *identity: object) -> None:
        document = json.dumps(identity, separators=(",", ":"), allow_nan=False)
        seed = int.from_bytes(sha256(document.encode()).digest(), "big")
        self._source = np.random.PCG64(seed)

    def words(self, count: int) -> Words:
        raw = self._source.random_raw((count + 1) // 2)
        return raw.astype("<u8", copy=False).view("<u4")[:count]

    def keys(self, rows: int, columns: int) -> NDArray[np.uint64]:
        """Sorting keys: the places of the smallest m of a row are a random choice of m."""
        return self._source.random_raw(rows * columns).reshape(rows, columns)


@lru_cache(maxsize=65_536)
def cuts(weights: tuple[int, ...]) -> Words:
    """Where in 2^32 a draw from outcomes with these weights passes from one outcome to the next."""
    ways = sum(weights)
    passed = accumulate(weights[:-1])
    return np.array([min(_SCALE - 1, below * _SCALE // ways) for below in passed], dtype=np.uint32)


def drawn(bits: Bits, weights: tuple[int, ...], count: int) -> NDArray[np.intp]:
    """`count` draws of an outcome's place, with chances in proportion to the weights (to 1 in 2^32)."""
    edges = cuts(weights)
    words = bits.words(count)
    if len(edges) > _FEW:
        return np.searchsorted(edges, words, side="right")
    places = np.zeros(count, dtype=np.uint8)
    passed = np.empty(count, dtype=np.bool_)
    for edge in edges:
        np.greater_equal(words, edge, out=passed)
        places += passed.view(np.uint8)
    return places.astype(np.intp)


def p_value(reached: int, count: int) -> float:
    """Of a permutation test: `reached` of `count` draws were as extreme (Phipson and Smyth 2010)."""
    return (1 + reached) / (1 + count)
