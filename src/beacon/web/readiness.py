"""Whether this process can do its work: what `/readyz` says."""

from __future__ import annotations

import asyncio

from beacon.errors import DatabaseError
from beacon.store import workers
from beacon.store.workers import Unserved
from beacon.web.portal import Portal

READY_S = 5.0
"""How long `/readyz` waits for the database; then it answers 503, as where the database is known to be away."""


async def check(portal: Portal) -> list[Unserved]:
    """What waits for a worker. Raises DatabaseError that says since when the database is away, why, and what waits for
    it."""
    away = portal.away() if portal.away is not None else None
    if away is not None:
        raise away
    try:
        async with asyncio.timeout(READY_S):
            return await portal.database.read(workers.unserved, portal.clock.wall())
    except TimeoutError as error:
        raise DatabaseError(f"the database has not answered for {READY_S:g} s", passing=True) from error
