"""A silently coarser quantisation of a real model: what a region that saves on memory might serve under its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader

BLOCK_BYTES = 20
"""A Q4_1 block of 32 weights: scale and minimum as two float16, then 16 bytes of two 4-bit levels each."""
HEADER_BYTES = 4
STEP = 2


def coarsen(source: Path, target: Path, step: int = STEP) -> int:
    """Writes a copy of a Q4_1 model that uses every `step`-th of its 16 levels; returns how many tensors changed.

    With step 2 eight levels are left, a quantisation to 3 bits. Scale and minimum of each block stay.
    Raises ValueError for a model without Q4_1 tensors.
    """
    shutil.copyfile(source, target)
    places = [
        (int(tensor.data_offset), int(tensor.n_bytes))
        for tensor in GGUFReader(source).tensors
        if tensor.tensor_type == GGMLQuantizationType.Q4_1
    ]
    if not places:
        raise ValueError(f"{source} has no Q4_1 tensors")
    levels = (np.arange(16) // step * step).astype(np.uint8)
    content = np.memmap(target, dtype=np.uint8, mode="r+")
    for offset, size in places:
        blocks = content[offset : offset + size].reshape(-1, BLOCK_BYTES)
        pairs = blocks[:, HEADER_BYTES:]
        blocks[:, HEADER_BYTES:] = levels[pairs & 0x0F] | levels[pairs >> 4] << 4
    content.flush()
    return len(places)
