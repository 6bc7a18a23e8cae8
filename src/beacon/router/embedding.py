"""Embeddings of texts by any endpoint that speaks the OpenAI API (`POST /v1/embeddings`).

Apart from inferences: nothing is measured of it, and no execution waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import ClientError, ClientSession

from beacon import __version__
from beacon.domain.fleet import Provider
from beacon.errors import UnavailableError
from beacon.router.credentials import read_key
from beacon.router.failures import quoted
from beacon.router.transports.completion import stated_message
from beacon.router.transports.connection import open_session

BATCH = 64
"""Texts in one request."""
BATCH_S = 300.0
"""Within which a provider has to answer one request for embeddings."""


class Embedder:
    """One model at one provider. Use `async with`. Raises InputError where the provider's key is not there."""

    def __init__(self, provider: Provider, model: str, base: Path, environ: Mapping[str, str]) -> None:
        self._provider = provider
        self._name = provider.models[model]
        self._key = read_key(provider, base, environ)
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Embedder:
        headers = {"User-Agent": f"beacon/{__version__}"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = open_session(headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """The vector of each text, in order; at most BATCH texts. Raises UnavailableError."""
        if self._session is None:
            raise RuntimeError("the embedder is not open")
        document = {"model": self._name, "input": list(texts), "encoding_format": "float"}
        try:
            async with (
                asyncio.timeout(BATCH_S),
                self._session.post(
                    f"{self._provider.url}/embeddings", json=document, allow_redirects=False
                ) as response,
            ):
                body = await response.read()
                if response.status != 200:
                    said = quoted(stated_message(body), self._key)
                    raise self._unavailable(f"answered HTTP {response.status} to {len(texts)} texts ({said})")
                return self._vectors(await response.json(content_type=None), len(texts))
        except TimeoutError as error:
            raise self._unavailable(f"gave no embeddings within {BATCH_S:.0f} s") from error
        except ClientError as error:
            raise self._unavailable(f"cannot be reached ({quoted(str(error), self._key)})") from error
        except ValueError as error:
            raise self._unavailable("answered what is not JSON") from error

    def _vectors(self, document: Any, count: int) -> list[list[float]]:
        """The rows of `data` by their `index`; all of one size, and all numbers."""
        rows = document.get("data") if isinstance(document, dict) else None
        found: dict[int, list[float]] = {}
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and isinstance(row.get("index"), int) and _is_vector(row.get("embedding")):
                found[row["index"]] = row["embedding"]
        vectors = [found[place] for place in range(count) if place in found]
        if len(vectors) < count or len({len(vector) for vector in vectors}) > 1:
            raise self._unavailable(f"gave {len(vectors)} usable vectors for {count} texts")
        return vectors

    def _unavailable(self, what: str) -> UnavailableError:
        todo = (
            "name a model that makes embeddings, at a provider that speaks the OpenAI API; the vectors so far are kept"
        )
        return UnavailableError(f"{self._provider.name} {what}", where=f"{self._provider.url}/embeddings", todo=todo)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(x) in {int, float} and abs(x) < 1e30 for x in value)
