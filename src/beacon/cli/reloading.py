"""A fleet file that is followed: saved anew, or on SIGHUP, it is read again and applied at once, or refused whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog

from beacon.errors import InputError
from beacon.router.router import Router
from beacon.runner.inputs import FleetFile, read_fleet
from beacon.runner.same_fleet import Kinds

log = structlog.get_logger()

LOOK_S = 1.0
"""How often it is looked whether the fleet file was saved anew; SIGHUP does not wait for it."""


@asynccontextmanager
async def following(router: Router, file: FleetFile) -> AsyncIterator[None]:
    """The router follows the fleet file for as long as this is open; a fleet that stands in no file stays."""
    if file.path is None:
        yield
        return
    task = asyncio.create_task(Follower(router, file.path).follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Follower:
    """Reads `path` again when it was saved or on SIGHUP, and has the router follow what it says."""

    def __init__(self, router: Router, path: Path) -> None:
        self._router = router
        self._path = path
        self._kinds = Kinds(router.fleet)
        self._asked = asyncio.Event()
        self._seen = self._stamp()

    async def follow(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._asked.set)
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), LOOK_S)
                if self._asked.is_set() or self._stamp() not in (None, self._seen):
                    self._asked.clear()
                    self._seen = self._stamp()
                    await self.reload()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)

    async def reload(self) -> bool:
        """Whether the file is followed now; one that cannot be used is refused whole, and the log says why."""
        try:
            file = await asyncio.to_thread(read_fleet, self._path)
            self._kinds.check(file.fleet, str(self._path))
            await self._router.reload(file.fleet, base=file.base)
        except InputError as error:
            log.error("the fleet file is refused, and the fleet stays as it is", file=str(self._path), why=str(error))
            return False
        self._kinds.note(file.fleet)
        log.info("the fleet file is followed", file=str(self._path), providers=len(file.fleet.providers))
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file is saved; None where there is none, as while an editor replaces it."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
