"""What operators have ordered and not undone yet."""

from __future__ import annotations

from sqlalchemy import Connection

from beacon.store import limits, pauses
from beacon.store.limits import Limit
from beacon.store.pauses import Pause


def standing_orders(connection: Connection) -> tuple[list[Pause], list[Limit]]:
    """Pauses and limits, each by name."""
    return pauses.current(connection), limits.current(connection)
