"""Where published test vectors are found: they are no part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(os.environ.get("BEACON_SHARED") or Path(__file__).parents[2].parent / "shared")


def vectors(name: str) -> Path:
    """The path of `name` among the vectors; skips where they are absent."""
    path = _SHARED / "vectors" / name
    if not path.exists():
        pytest.skip(f"no published vectors at {path}; name their directory in BEACON_SHARED")
    return path
