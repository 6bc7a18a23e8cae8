"""A job's events, read in order."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from beacon.store.tables import events


@dataclass(frozen=True, slots=True)
class Event:
    """`data` holds what happened, and the job's `status` and `counts` as they are at `seq`."""

    seq: int
    at: float
    kind: str
    data: dict[str, Any]


def after(connection: Connection, job_id: str, seq: int, limit: int = 500) -> list[Event]:
    query = (
        select(events.c.seq, events.c.at, events.c.kind, events.c.data_json)
        .where(events.c.job_id == job_id, events.c.seq > seq)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [Event(row.seq, row.at, row.kind, json.loads(row.data_json)) for row in connection.execute(query)]


def outside_groups(connection: Connection, job_id: str) -> list[Event]:
    """All events of the job but those of its executions: a few, however large the job is."""
    query = (
        select(events.c.seq, events.c.at, events.c.kind, events.c.data_json)
        .where(events.c.job_id == job_id, events.c.kind != "group")
        .order_by(events.c.seq)
    )
    return [Event(row.seq, row.at, row.kind, json.loads(row.data_json)) for row in connection.execute(query)]
