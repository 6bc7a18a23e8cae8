"""Texts as hashed character n-grams, in NumPy alone.

A text is normalised, read as an array of code points, and every run of 1 to 4 of them is hashed into one of
2**18 buckets (feature hashing, Weinberger et al. 2009). No vocabulary has to be stored, and any script works.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
BUCKETS = 1 << BITS
LONGEST_GRAM = 4
MAX_CHARACTERS = 65_536
"""What comes after is not read: longer than any answer measured, and it bounds the time one text may take."""

_ROLL = np.uint32(0x01000193)
_MIX = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - BITS)
_DAMPED = 1 + np.log(np.maximum(1, np.arange(LONGEST_GRAM * (MAX_CHARACTERS + 2) + 1))).astype(np.float32)
"""1 + ln(count), by count."""


class Counts(NamedTuple):
    """The buckets that a text falls into, ascending and each once, and the weight 1 + ln(count) of each."""

    buckets: NDArray[np.uint32]
    weights: NDArray[np.float32]


def normalised(text: str) -> str:
    """Lower case, runs of white space as one space, one apostrophe, a space at either end."""
    return f" {' '.join(text[:MAX_CHARACTERS].lower()[:MAX_CHARACTERS].replace('’', chr(39)).split())} "


def gram_buckets(text: str) -> list[NDArray[np.uint32]]:
    """For each n from 1 to 4, the bucket of the n-gram that begins at each character of a normalised text.

    The hash of n characters is rolled on from that of n - 1 (`h * _ROLL + code point`, modulo 2**32), then
    spread by a multiplication (Knuth) of which the high bits are kept. Lone surrogates are code points too.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint32, copy=False)
    rolled, grams = codes, []
    for n in range(1, LONGEST_GRAM + 1):
        if n > 1:
            rolled = rolled[:-1] * _ROLL
            rolled += codes[n - 1 :]
        grams.append((rolled * _MIX) >> _SHIFT)
        if rolled.size < 2:
            break
    return grams


def count_grams(grams: list[NDArray[np.uint32]]) -> Counts:
    """What `gram_buckets` found, counted, each count damped."""
    ordered = np.concatenate(grams)
    ordered.sort()
    first = np.ones(ordered.size, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    starts = first.nonzero()[0]
    counts = np.append(starts[1:], ordered.size)
    counts -= starts
    return Counts(ordered.take(starts), _DAMPED.take(counts))
