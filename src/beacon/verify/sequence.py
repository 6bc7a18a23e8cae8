"""Comparing two long sequences of digests, so that what was altered is named and the rest is left alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest

MAX_DIFFERENCES = 10_000
"""Kept in memory; where more differ, the comparison ends there."""


@dataclass(slots=True)
class Differences:
    """`missing` are expected digests without a line and whose they are; `foreign` lines, from 1, that are not expected.

    `moved` are executions whose lines are in another place though nothing is missing or foreign.
    """

    expected: int = 0
    found: int = 0
    missing: dict[bytes, str] = field(default_factory=dict)
    foreign: dict[bytes, int] = field(default_factory=dict)
    moved: list[str] = field(default_factory=list)
    overflow: bool = False

    @property
    def none(self) -> bool:
        return not (self.missing or self.foreign or self.moved or self.overflow)


def compare(expected: Iterable[tuple[str, bytes]], found: Iterable[bytes]) -> Differences:
    """Compares (execution id, digest) in order with the digests of the lines that were found.

    After a line that was inserted or left out the two run apart by one, and what one side is ahead cancels out,
    so memory holds the real differences only.
    """
    differences = Differences()
    missing, foreign = differences.missing, differences.foreign
    displaced: list[str] = []
    for wanted, digest in zip_longest(expected, found):
        differences.expected += wanted is not None
        differences.found += digest is not None
        if wanted is not None and wanted[1] == digest:
            continue
        if wanted is not None:
            if foreign.pop(wanted[1], None) is None:
                missing[wanted[1]] = wanted[0]
            elif len(displaced) < MAX_DIFFERENCES:
                displaced.append(wanted[0])
        if digest is not None and missing.pop(digest, None) is None:
            foreign[digest] = differences.found
        if max(len(missing), len(foreign)) > MAX_DIFFERENCES:
            differences.overflow = True
            return differences
    if not missing and not foreign:
        differences.moved = displaced
    return differences
