"""How a process that drives jobs runs its event loop."""

from __future__ import annotations

import gc
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

YOUNG_OBJECTS = 50_000
"""How many more objects are made than freed before the youngest are looked through for cycles.

Python's own 700 has a busy runner search its few thousand living requests hundreds of times a second and find nothing.
"""

SWITCH_S = 0.0005
"""How long a thread keeps Python's global lock while another one waits for it. It ends no request.

The thread that writes to SQLite needs the lock for moments between statements that do without it; at Python's own 5 ms
a busy event loop would keep it waiting for longer than it works.
"""


def run_busy(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, on libuv's event loop; the collector is called rarely, and threads take turns often."""
    # What was imported lives as long as the process: no collection needs to walk it.
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG_OBJECTS, 50, 100)
    return uvloop.run(work)
