"""Limits of providers and regions that operators set: rows that every process that drives jobs follows, and events."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from beacon.errors import InputError, NotFoundError
from beacon.store import jobs as job_queries
from beacon.store.tables import limits


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests under way at the provider `name`, or at each of the region, in each process."""

    name: str
    at_most: int
    why: str
    set_at: float


def current(connection: Connection) -> list[Limit]:
    return [Limit(*row) for row in connection.execute(select(limits).order_by(limits.c.name))]


def put(connection: Connection, name: str, at_most: int, why: str, now: float) -> None:
    """In place of the limit that stands, where one does. Raises InputError for less than one."""
    if at_most < 1:
        todo = f"set 1 or more; `beacon pause {name}` sends nothing at all"
        raise InputError(f"a limit of {at_most} lets nothing through", where="at_most", todo=todo)
    connection.execute(delete(limits).where(limits.c.name == name))
    connection.execute(insert(limits).values(name=name, at_most=at_most, why=why, set_at=now))
    job_queries.tell_unfinished(connection, {"what": "limited", "name": name, "at_most": at_most, "why": why}, now)


def lift(connection: Connection, name: str, now: float) -> None:
    """Raises NotFoundError where it has no limit."""
    if not connection.execute(delete(limits).where(limits.c.name == name)).rowcount:
        limited = ", ".join(limit.name for limit in current(connection)) or "nothing"
        raise NotFoundError(f"{name} is not limited", todo=f"limited now: {limited}")
    job_queries.tell_unfinished(connection, {"what": "unlimited", "name": name}, now)
