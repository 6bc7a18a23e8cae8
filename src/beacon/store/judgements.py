"""What judges said, kept by digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select

from beacon.store.tables import judgements

AT_ONCE = 500
"""Digests in one query; SQLite takes at most 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class Judgement:
    digest: str
    model: str
    rubric: str
    label: str
    reason: str
    cost_usd: float | None
    judged_at: float


def known(connection: Connection, digests: Sequence[str]) -> dict[str, Judgement]:
    """Those of the digests that were judged before."""
    found: dict[str, Judgement] = {}
    for start in range(0, len(digests), AT_ONCE):
        query = select(judgements).where(judgements.c.digest.in_(digests[start : start + AT_ONCE]))
        found |= {row.digest: Judgement(*row) for row in connection.execute(query)}
    return found


def add(connection: Connection, judgement: Judgement) -> None:
    """Keeps a judgement; the first of its digest stays."""
    if not known(connection, [judgement.digest]):
        connection.execute(insert(judgements).values(asdict(judgement)))
