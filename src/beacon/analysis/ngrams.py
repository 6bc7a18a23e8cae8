"""Texts as vectors: counts of hashed character n-grams, damped by log(1 + count), of length 1."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

BUCKETS: Final = 4_096
_BLOCKS: Final = 64
_SHIFT: Final = np.uint64(64 - 12)
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)
WITHOUT_SPACES: Final = frozenset({"zh", "ja", "ko", "yue", "th", "lo", "km", "my"})
"""Languages whose characters each carry about a syllable or more: compared by 2-grams, all others by
4-grams."""


def gram_length(language: str) -> int:
    return 2 if language.split("-")[0] in WITHOUT_SPACES else 4


def vector(text: str, language: str) -> NDArray[np.float32]:
    """Of unit length. White space runs count as one space; case is kept. A text shorter than one n-gram is
    its own n-gram."""
    spaced = " ".join(text.split())
    codes = np.frombuffer(spaced.encode("utf-32-le", errors="surrogatepass"), dtype="<u4").astype(np.uint64)
    length = min(gram_length(language), len(codes))
    grams = np.zeros(len(codes) - length + 1, dtype=np.uint64)
    for offset in range(length):
        grams = (grams ^ codes[offset : len(codes) - length + 1 + offset]) * _MULTIPLIER
        grams ^= grams >> np.uint64(29)
    counts = np.bincount(((grams * _MULTIPLIER) >> _SHIFT).astype(np.intp), minlength=BUCKETS)
    damped = _damping(int(counts.max()))[counts]
    norm = math.sqrt(float(damped @ damped))
    scaled: NDArray[np.float32] = (damped / norm).astype(np.float32)
    return scaled


@lru_cache(maxsize=256)
def _damping(most: int) -> NDArray[np.float64]:
    return np.array([math.log1p(count) for count in range(most + 1)])


def squared_distances(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Between unit vectors, one a row: 2 - 2 cos, from 0 for the same counts to 2 for none in common.

    Rounded to a millionth, so that the order in which a library adds cannot decide a tie.
    """
    squared = np.round(2 - 2 * _products(vectors.astype(np.float64)), 6)
    np.fill_diagonal(squared, 0.0)
    return np.maximum(squared, 0.0)


def _products(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """`rows @ rows.T`, summed over blocks of columns so small that the linear-algebra library keeps to one
    thread: handing out such small products takes it a hundred times longer than they do."""
    if missing := -rows.shape[1] % _BLOCKS:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    blocks = rows.reshape(len(rows), _BLOCKS, -1).transpose(1, 0, 2)
    return np.asarray(np.matmul(blocks, blocks.transpose(0, 2, 1)).sum(axis=0))
