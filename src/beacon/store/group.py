"""The group commit with the barrier (DESIGN section 4): the one way in which a running job changes.

Whatever a runner has collected, attempts to be sent and attempts that ended, becomes one transaction:

1. conditional updates of executions, with their attempts and result rows;
2. one update of the job row, which counts, raises `seq`, and moves the job to `finalizing` when the last
   execution has become terminal;
3. one event under that `seq`, and nothing after it but the commit.

The job row's lock orders the groups of a job, so events have no gaps, and the last group closes the job.

SQLite and PostgreSQL each have a form of their own; what they do is the same, and one set of tests says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from beacon.store import group_postgres, group_sqlite
from beacon.store.group_items import Finish, Noted, Recorded, Start, kept

__all__ = ["Finish", "Noted", "Recorded", "Start", "kept", "record_group"]


def record_group(
    connection: Connection,
    job_id: str,
    starts: Sequence[Start],
    finishes: Sequence[Finish],
    now: float,
    noted: Sequence[Noted] = (),
) -> Recorded:
    """Records a group of one job. An execution that stands among both is started first.

    What is noted moves nothing: it is no news to whoever follows the job. Raises NotFoundError for an unknown job.
    """
    record = group_postgres.record if connection.dialect.name == "postgresql" else group_sqlite.record
    return record(connection, job_id, starts, finishes, now, noted)
