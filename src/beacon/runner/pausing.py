"""Pauses and limits that operators asked for, followed by the router of a process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from beacon.errors import DatabaseError, InputError
from beacon.store.database import Database
from beacon.store.limits import Limit
from beacon.store.orders import standing_orders
from beacon.store.pauses import Pause

log = structlog.get_logger()

FOLLOW_S = 0.5
"""How often a process looks whether an operator has paused, limited or resumed something."""


class Pausable(Protocol):
    """A router that can hold back what is new for a provider or a region."""

    def pause(self, name: str, why: str) -> None: ...

    def resume(self, name: str) -> None: ...

    def limit(self, name: str, at_most: int, why: str) -> None: ...

    def unlimit(self, name: str) -> None: ...


class Pausing:
    """Brings a router to what the database says; names that its fleet does not know are others' business."""

    def __init__(self, database: Database, router: Pausable) -> None:
        self._database = database
        self._router = router
        self._paused: set[str] = set()
        self._limited: dict[str, int] = {}

    async def follow(self) -> None:
        try:
            paused, limited = await self._database.read(standing_orders)
        except DatabaseError as error:
            log.warning("pauses and limits could not be read, trying again", why=error.what, where=error.where)
            return
        self._follow_pauses(paused)
        self._follow_limits(limited)

    def _follow_pauses(self, pauses: Sequence[Pause]) -> None:
        wanted = {pause.name: pause.why for pause in pauses}
        for name in self._paused - wanted.keys():
            with suppress(InputError):
                self._router.resume(name)
        for name in wanted.keys() - self._paused:
            try:
                self._router.pause(name, wanted[name])
            except InputError:
                continue
            log.info("paused by an operator", name=name, why=wanted[name])
        self._paused = set(wanted)

    def _follow_limits(self, limits: Sequence[Limit]) -> None:
        wanted = {limit.name: limit for limit in limits}
        for name in self._limited.keys() - wanted.keys():
            with suppress(InputError):
                self._router.unlimit(name)
        for name, limit in wanted.items():
            if self._limited.get(name) == limit.at_most:
                continue
            with suppress(InputError):
                self._router.limit(name, limit.at_most, limit.why)
                log.info("limited by an operator", name=name, at_most=limit.at_most, why=limit.why)
        self._limited = {name: limit.at_most for name, limit in wanted.items()}
