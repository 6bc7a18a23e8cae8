"""Numbers that depend on nothing but what they are drawn for: SHA-256 as the source of chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import sha256
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")
_NORMAL = NormalDist()
_BYTES = 4
_RANGE = float(2 ** (8 * _BYTES))


class Draws:
    """An endless row of independent numbers for one subject, the same in every process and version.

    The subject is the tuple of `parts`; block `i` of the row is SHA-256 over the digest of the parts and `i`.
    """

    __slots__ = ("_block", "_count", "_root", "_used")

    def __init__(self, *parts: object) -> None:
        self._root = sha256("\x1f".join(map(str, parts)).encode()).digest()
        self._block = self._root
        self._used = 0
        self._count = 0

    def uniform(self) -> float:
        """A number strictly between 0 and 1."""
        if self._used == len(self._block):
            self._count += 1
            self._block = sha256(self._root + self._count.to_bytes(8, "big")).digest()
            self._used = 0
        value = int.from_bytes(self._block[self._used : self._used + _BYTES], "big")
        self._used += _BYTES
        return (value + 0.5) / _RANGE

    def normal(self) -> float:
        """A number of the standard normal distribution."""
        return _NORMAL.inv_cdf(self.uniform())

    def below(self, bound: int) -> int:
        return math.floor(self.uniform() * bound)

    def choose(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different ones of the options (all of them where there are fewer), in random order."""
        pool = list(options)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]
