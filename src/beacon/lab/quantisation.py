"""A silently coarser quantisation of a real model: what a region that saves on memory might serve under its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader

BLOCK_BYTES = 20
"""A Q4_1 block of 32 weights: scale and minimum as two float16, then 16 bytes of two 4-bit levels each."""
HEADER_BYTES = 4
LEVELS = 16
LEVELS_LEFT = 12
"""Coarse enough to change what a small model says, fine enough that it still speaks; with 8 it no longer does."""


def coarsen(source: Path, target: Path, left: int = LEVELS_LEFT) -> int:
    """Writes a copy of a Q4_1 model that uses only `left` of its 16 levels; returns how many tensors changed.

    Each level moves to the nearest that is left, from the lowest to the highest at equal distances; scale and
    minimum of each block stay. Raises ValueError for a model without Q4_1 tensors.
    """
    shutil.copyfile(source, target)
    places = [
        (int(tensor.data_offset), int(tensor.n_bytes))
        for tensor in GGUFReader(source).tensors
        if tensor.tensor_type == GGMLQuantizationType.Q4_1
    ]
    if not places:
        raise ValueError(f"{source} has no Q4_1 tensors")
    steps = (LEVELS - 1) / (left - 1)
    levels = np.rint(np.rint(np.arange(LEVELS) / steps) * steps).astype(np.uint8)
    content = np.memmap(target, dtype=np.uint8, mode="r+")
    for offset, size in places:
        blocks = content[offset : offset + size].reshape(-1, BLOCK_BYTES)
        pairs = blocks[:, HEADER_BYTES:]
        blocks[:, HEADER_BYTES:] = levels[pairs & 0x0F] | levels[pairs >> 4] << 4
    content.flush()
    return len(places)
