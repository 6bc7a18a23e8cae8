"""Random draws that are the same on every machine and in every version of NumPy.

Only the raw bits of PCG64 are used (`random_raw`; NumPy promises that they never change, which it does not of
its distributions), turned into whole numbers by inverting a distribution function that was summed in integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
_SCALE = 1 << 32
_FEW = 24


class Bits:
    """A stream of 32-bit words, seeded by whatever identifies the test."""

    def __init__(self, *identity: object) -> None:
        seed = int.from_bytes(sha256(repr(identity).encode()).digest(), "big")
        self._source = np.random.PCG64(seed)

    def words(self, count: int) -> Words:
        raw = self._source.random_raw((count + 1) // 2)
        return raw.astype("<u8", copy=False).view("<u4")[:count]


@lru_cache(maxsize=65_536)
def _hypergeometric(k: int, na: int, nb: int) -> tuple[Words, int]:
    """Cut points in 2^32 between the numbers of marked answers that arm a may get, and the least of them.

    `k` of the `na + nb` answers are marked.
    """
    least, most = max(0, k - nb), min(k, na)
    total = math.comb(na + nb, k)
    cuts, below = [], 0
    for j in range(least, most):
        below += math.comb(na, j) * math.comb(nb, k - j)
        cuts.append(below * _SCALE // total)
    return np.array(cuts, dtype=np.uint64).clip(max=_SCALE - 1).astype(np.uint32), least


def relabelled(bits: Bits, k: int, na: int, nb: int, count: int) -> tuple[NDArray[np.intp], int]:
    """`count` draws of how many of `k` marked answers fall to arm a when the labels are permuted.

    Returned as offsets from the least possible number, with that number.
    """
    cuts, least = _hypergeometric(k, na, nb)
    words = bits.words(count)
    if len(cuts) > _FEW:
        return np.searchsorted(cuts, words, side="right"), least
    offsets = np.zeros(count, dtype=np.intp)
    for cut in cuts:
        offsets += words >= cut
    return offsets, least


def shuffled(bits: Bits, items: int, count: int) -> NDArray[np.intp]:
    """`count` permutations of `items` things, one a row."""
    return np.argsort(bits.words(count * items).reshape(count, items), axis=1, kind="stable")


def p_value(reached: int, count: int) -> float:
    """Of a permutation test: `reached` of `count` draws were as extreme (Phipson and Smyth 2010)."""
    return (1 + reached) / (1 + count)


def identity(tables: Sequence[object]) -> str:
    """A digest of what a test is about, to seed it."""
    return sha256(repr(tables).encode()).hexdigest()
