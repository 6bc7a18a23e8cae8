"""Texts as vectors of an embedding model, which were fetched before: nothing here asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from beacon.errors import InputError


def text_digest(text: str) -> str:
    """By which the vector of a text is kept: SHA-256 of its UTF-8."""
    return sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of one `model` by digest of their text, all of one size."""

    model: str
    vectors: Mapping[str, NDArray[np.float32]]

    def of(self, text: str, _language: str = "") -> NDArray[np.float32]:
        """Of unit length. Raises InputError for a text that was not embedded."""
        vector = self.vectors.get(text_digest(text))
        if vector is None:
            raise InputError(
                f"an answer has no embedding by {self.model}",
                todo=f"beacon embed JOB --model {self.model} --yes fetches what is missing",
            )
        norm = float(np.sqrt(np.einsum("i,i->", vector, vector, dtype=np.float64)))
        scaled: NDArray[np.float32] = (vector / max(norm, 1e-12)).astype(np.float32)
        return scaled
