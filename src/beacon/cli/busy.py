"""How a process that drives jobs runs its event loop."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

YOUNG_OBJECTS = 50_000
"""How many more objects are made than freed before the youngest are looked through for cycles.

Python's own 700 has a busy runner search its few thousand living requests hundreds of times a second and find nothing.
"""


def run_busy(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on libuv's event loop and with the collector called less often."""
    # What was imported lives as long as the process: no collection needs to walk it.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 50, 100)
    return uvloop.run(work)
