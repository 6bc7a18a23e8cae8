"""Small facts about many jobs at once, for lists."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from beacon.store.tables import jobs, reports


@dataclass(frozen=True, slots=True)
class ReportReference:
    """Which report of a job is its newest; `generation` is that of the job whose outcomes it is about."""

    job_id: str
    version: int
    generation: int
    method: str
    created_at: float


def newest_reports(connection: Connection, job_ids: Collection[str]) -> dict[str, ReportReference]:
    """The newest report of each of the jobs that has one."""
    newest = (
        select(reports.c.job_id, func.max(reports.c.version).label("version"))
        .where(reports.c.job_id.in_(job_ids))
        .group_by(reports.c.job_id)
        .subquery()
    )
    columns = [reports.c[name] for name in ReportReference.__dataclass_fields__]
    same = (reports.c.job_id == newest.c.job_id) & (reports.c.version == newest.c.version)
    rows = connection.execute(select(*columns).join(newest, same))
    return {row.job_id: ReportReference(*row) for row in rows}


def jobs_by_status(connection: Connection) -> dict[str, int]:
    """How many jobs there are of each status."""
    query = select(jobs.c.status, func.count().label("count")).group_by(jobs.c.status)
    return {row.status: row._mapping["count"] for row in connection.execute(query)}
