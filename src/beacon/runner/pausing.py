"""Pauses that operators asked for, followed by the router of a process."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import structlog

from beacon.errors import DatabaseError, InputError
from beacon.store import pauses
from beacon.store.database import Database

log = structlog.get_logger()

FOLLOW_S = 0.5
"""How often a process looks whether an operator has paused or resumed something."""


class Pausable(Protocol):
    """A router that can hold back what is new for a provider or a region."""

    def pause(self, name: str, why: str) -> None: ...

    def resume(self, name: str) -> None: ...


class Pausing:
    """Brings a router to what the database says; names that its fleet does not know are others' business."""

    def __init__(self, database: Database, router: Pausable) -> None:
        self._database = database
        self._router = router
        self._applied: set[str] = set()

    async def follow(self) -> None:
        try:
            wanted = {pause.name: pause.why for pause in await self._database.read(pauses.current)}
        except DatabaseError as error:
            log.warning("pauses could not be read, trying again", why=error.what, where=error.where)
            return
        for name in self._applied - wanted.keys():
            with suppress(InputError):
                self._router.resume(name)
        for name in wanted.keys() - self._applied:
            try:
                self._router.pause(name, wanted[name])
            except InputError:
                continue
            log.info("paused by an operator", name=name, why=wanted[name])
        self._applied = set(wanted)
