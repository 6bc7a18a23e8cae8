"""Numbers that depend on nothing but what they are drawn for: SHA-256 as the source of chance."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from statistics import NormalDist
from typing import TypeVar

T = TypeVar("T")
_NORMAL = NormalDist()
_BLOCK = struct.Struct(">8I")
_RANGE = float(2**32)


class Draws:
    """An endless row of independent numbers for one subject, the same in every process and version.

    The subject is the tuple of `parts`; block `i` of the row is SHA-256 over the digest of the parts and `i`.
    Nothing is computed before the first number is drawn.
    """

    __slots__ = ("_count", "_parts", "_ready", "_root")

    def __init__(self, *parts: object) -> None:
        self._parts = parts
        self._root = b""
        self._ready: list[int] = []
        self._count = 0

    def uniform(self) -> float:
        """A number strictly between 0 and 1."""
        if not self._ready:
            self._draw_block()
        return (self._ready.pop() + 0.5) / _RANGE

    def _draw_block(self) -> None:
        if not self._root:
            self._root = sha256("\x1f".join(map(str, self._parts)).encode()).digest()
        self._ready = list(_BLOCK.unpack(sha256(self._root + self._count.to_bytes(8, "big")).digest()))
        self._count += 1

    def normal(self) -> float:
        """A number of the standard normal distribution."""
        return _NORMAL.inv_cdf(self.uniform())

    def below(self, bound: int) -> int:
        return int(self.uniform() * bound)

    def choose(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def sample(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different ones of the options (all of them where there are fewer), in random order."""
        pool = list(options)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]
