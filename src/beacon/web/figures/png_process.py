"""Reads SVG on standard input and writes PNG, drawn by resvg; fonts are the machine's and those the renderer brings."""

from __future__ import annotations

import os
import re
import sys

import vl_convert

MOST_PIXELS = 12_000_000
"""Of one picture; a larger one is drawn at less than twice its size."""
_SIZE = re.compile(r'width="(\d+)" height="(\d+)"')


def draw(svg: str) -> bytes:
    """Twice as large as the SVG says, for dense screens. Raises ValueError for what has no size of its own."""
    found = _SIZE.search(svg)
    if found is None:
        raise ValueError("the picture has no width and height")
    pixels = int(found[1]) * int(found[2])
    return vl_convert.svg_to_png(svg, scale=min(2.0, (MOST_PIXELS / max(1, pixels)) ** 0.5))


if __name__ == "__main__":
    os.nice(10)
    sys.stdout.buffer.write(draw(sys.stdin.buffer.read().decode()))
