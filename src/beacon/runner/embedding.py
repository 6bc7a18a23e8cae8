"""Vectors of a job's answers: fetched once, kept by digest, read for a report."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from beacon.analysis.embeddings import Embeddings, text_digest
from beacon.analysis.observation import Observation
from beacon.domain.estimate import BYTES_PER_TOKEN
from beacon.domain.fleet import Provider
from beacon.errors import UnavailableError
from beacon.router.embedding import BATCH, Embedder
from beacon.store import embeddings
from beacon.store.database import Database


@dataclass(frozen=True, slots=True)
class Wanted:
    """Texts without a vector yet, by digest; `known` have one. `cost_usd` is an estimate, None where unknown."""

    texts: dict[str, str]
    known: int
    cost_usd: float | None


async def plan_embedding(database: Database, texts: Sequence[str], model: str, provider: Provider) -> Wanted:
    """No text twice; blank ones are not compared, so that nobody is asked about them."""
    by_digest = {text_digest(text): text for text in texts if not text.isspace() and text}
    known = await database.read(embeddings.known, model, list(by_digest))
    todo = {digest: text for digest, text in by_digest.items() if digest not in known}
    tokens = sum(ceil(len(text.encode("utf-8", "surrogatepass")) / BYTES_PER_TOKEN) for text in todo.values())
    return Wanted(todo, len(known), provider.cost.of(tokens, 0))


async def embed_all(
    database: Database, wanted: Wanted, model: str, provider: Provider, base: Path, told: Callable[[int], None]
) -> None:
    """Fetches what is wanted and keeps each batch at once; `told` is given how many are there. Raises BeaconError."""
    digests = list(wanted.texts)
    size: int | None = None
    async with Embedder(provider, model, base, os.environ) as embedder:
        for start in range(0, len(digests), BATCH):
            batch = digests[start : start + BATCH]
            vectors = np.array(await embedder.embed([_sendable(wanted.texts[d]) for d in batch]), dtype="<f4")
            if size not in {None, vectors.shape[1]}:
                raise UnavailableError(f"{provider.name} gave vectors of two sizes", todo="ask one model alone")
            size = vectors.shape[1]
            kept = {digest: vector.tobytes() for digest, vector in zip(batch, vectors, strict=True)}
            await database.write(embeddings.add, model, kept)
            told(start + len(batch))


async def embeddings_of(database: Database, observations: Sequence[Observation], model: str) -> Embeddings:
    """What is kept of the job's answers by this model."""
    digests = list({text_digest(o.answer) for o in observations if o.answer})
    kept = await database.read(embeddings.known, model, digests)
    return Embeddings(model, {digest: np.frombuffer(vector, dtype="<f4") for digest, vector in kept.items()})


def _sendable(text: str) -> str:
    """Half characters, which no encoding can write, as question marks."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
