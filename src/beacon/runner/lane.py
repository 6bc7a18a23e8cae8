"""A lane: what is still to be sent to one (model, region) of one job, in the order of dispatch.

Each lane waits for a slot on its own, so that a slow or blocked provider never holds up another cell.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from beacon.router.router import Placement, Router
from beacon.runner.work import Work


class Lane:
    """`launch` is called with each execution and its slot; `ran_dry` whenever nothing is left to send."""

    def __init__(
        self,
        router: Router,
        cell: tuple[str, str],
        launch: Callable[[Work, Placement], None],
        ran_dry: Callable[[], None],
    ) -> None:
        self._router = router
        self._model, self._region = cell
        self._launch = launch
        self._ran_dry = ran_dry
        self._queue: deque[Work] = deque()
        self._filled = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def add(self, works: Iterable[Work]) -> None:
        self._queue.extend(works)
        if self._queue:
            self._filled.set()

    def drain(self) -> list[Work]:
        """Takes back everything that was not launched."""
        works = list(self._queue)
        self._queue.clear()
        self._filled.clear()
        return works

    async def run(self) -> None:
        """Launches one execution after the other, each as soon as a slot is free, until it is cancelled."""
        while True:
            await self._filled.wait()
            placement = await self._router.place(self._model, self._region)
            if not self._queue:
                placement.release()
                continue
            self._launch(self._queue.popleft(), placement)
            if not self._queue:
                self._filled.clear()
                self._ran_dry()
