"""Whether this process can do its work: what `/readyz` says."""

from __future__ import annotations

import asyncio

from beacon.errors import DatabaseError
from beacon.store import jobs
from beacon.web.portal import Portal

READY_S = 5.0
"""How long `/readyz` waits for the database; then it answers 503, as where the database is known to be away."""


async def check(portal: Portal) -> None:
    """Raises DatabaseError that says since when the database is away, why, and what waits for it."""
    away = portal.away() if portal.away is not None else None
    if away is not None:
        raise away
    try:
        async with asyncio.timeout(READY_S):
            await portal.database.read(jobs.list_page, limit=1)
    except TimeoutError as error:
        raise DatabaseError(f"the database has not answered for {READY_S:g} s", passing=True) from error
