"""Vectors of texts, kept by the embedding model and the text's digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select

from beacon.store.tables import embeddings

AT_ONCE = 500
"""Digests in one query; SQLite takes at most 32,766 parameters."""


def known(connection: Connection, model: str, digests: Sequence[str]) -> dict[str, bytes]:
    """Those of the texts that have a vector, as little-endian 32-bit floats."""
    found: dict[str, bytes] = {}
    for start in range(0, len(digests), AT_ONCE):
        chosen = embeddings.c.digest.in_(digests[start : start + AT_ONCE])
        query = select(embeddings.c.digest, embeddings.c.vector).where(embeddings.c.model == model, chosen)
        found |= {row.digest: row.vector for row in connection.execute(query)}
    return found


def add(connection: Connection, model: str, vectors: Mapping[str, bytes]) -> None:
    """Keeps vectors by digest; the first of a text stays."""
    kept = known(connection, model, list(vectors))
    rows = [{"model": model, "digest": d, "vector": vector} for d, vector in vectors.items() if d not in kept]
    if rows:
        connection.execute(insert(embeddings), rows)
