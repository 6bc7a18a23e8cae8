"""Pauses of providers and regions: rows that every process that drives jobs follows, and events of the open jobs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from beacon.errors import ConflictError, NotFoundError
from beacon.store import jobs as job_queries
from beacon.store.tables import pauses


@dataclass(frozen=True, slots=True)
class Pause:
    """`name` is a provider's or a region's."""

    name: str
    why: str
    paused_at: float


def current(connection: Connection) -> list[Pause]:
    return [Pause(*row) for row in connection.execute(select(pauses).order_by(pauses.c.name))]


def pause(connection: Connection, name: str, why: str, now: float) -> None:
    """Raises ConflictError where it is paused already."""
    if connection.scalar(select(pauses.c.name).where(pauses.c.name == name)):
        raise ConflictError(f"{name} is paused already", todo=f"`beacon resume {name}` ends that")
    connection.execute(insert(pauses).values(name=name, why=why, paused_at=now))
    job_queries.tell_unfinished(connection, {"what": "paused", "name": name, "why": why}, now)


def resume(connection: Connection, name: str, now: float) -> None:
    """Raises NotFoundError where it is not paused."""
    if not connection.execute(delete(pauses).where(pauses.c.name == name)).rowcount:
        paused = ", ".join(pause.name for pause in current(connection)) or "nothing"
        raise NotFoundError(f"{name} is not paused", todo=f"paused now: {paused}")
    job_queries.tell_unfinished(connection, {"what": "resumed", "name": name}, now)
