"""Tasks of the engine: what workers owe, read from Beacon's own rows and handed over by one statement.

Beacon's rows are the truth. A task is owed for a job that is not admitted, for an unfinished shard that nobody
living drives, and for a job that nobody living finalizes. Whatever loses a task (a transaction rolled back, a
process killed, a task that ended under another's name) leaves that row as it is, so the next look owes it again.
A takeover is a new task and never a retry of the old one, whose end therefore cannot be taken for its successor's.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, text

ADMIT, DRIVE, FINALIZE = "beacon.admit", "beacon.drive", "beacon.finalize"
TIDY = "beacon.tidy"
JOBS_QUEUE = "jobs"


def queue_of(region: str) -> str:
    return f"region:{region}"


_ENQUEUE = text(
    """
    WITH moment AS (SELECT extract(epoch FROM clock_timestamp()) AS at),
    owed (queue, task, priority, name, args) AS (
        SELECT 'jobs', 'beacon.admit', 0, 'admit:' || j.id, jsonb_build_object('job_id', j.id)
        FROM jobs j
        WHERE (j.status = 'queued' OR (j.status = 'running' AND NOT j.admitted))
            AND NOT EXISTS (
                SELECT FROM procrastinate_jobs d JOIN procrastinate_workers w ON w.id = d.worker_id
                WHERE d.status = 'doing' AND d.queueing_lock = 'admit:' || j.id
                    AND w.last_heartbeat > now() - make_interval(secs => :stale))
        UNION ALL
        -- The first shards of every job come before the later ones of any: jobs share the workers.
        SELECT 'region:' || s.region, 'beacon.drive', -s.number, 'drive:' || s.job_id || ':' || s.number,
            jsonb_build_object('job_id', s.job_id, 'number', s.number)
        FROM shards s JOIN jobs j ON j.id = s.job_id, moment
        WHERE j.status = 'running' AND j.admitted AND s.done < s.size
            AND (s.owner IS NULL OR s.lease_until < moment.at OR s.owner = ANY(CAST(:dead AS text[])))
        UNION ALL
        SELECT 'jobs', 'beacon.finalize', 1, 'finalize:' || j.id, jsonb_build_object('job_id', j.id)
        FROM jobs j, moment
        WHERE j.status = 'finalizing'
            AND (j.finalizer IS NULL OR j.finalizer_until < moment.at OR j.finalizer = ANY(CAST(:dead AS text[])))
    )
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args)
    SELECT queue, task, priority, name, args FROM owed
    WHERE CAST(:job AS text) IS NULL OR args ->> 'job_id' = :job
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    """
)


def enqueue_owed(connection: Connection, stale_s: float, dead: Collection[str] = (), job_id: str | None = None) -> int:
    """Hands over every task that is owed and not waiting already, of one job or of all; returns how many.

    One statement, which any number of processes may run at once. An admission under way whose worker was silent for
    `stale_s` seconds is given up. On SQLite, which has no workers, it does nothing.
    """
    if connection.dialect.name != "postgresql":
        return 0
    given = {"stale": stale_s, "dead": list(dead), "job": job_id}
    return connection.execute(_ENQUEUE, given).rowcount


_POSTPONE = text(
    """
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, queueing_lock, args, scheduled_at)
    SELECT queue_name, task_name, priority, queueing_lock, args, now() + make_interval(secs => :pause)
    FROM procrastinate_jobs WHERE id = :id
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
    """
)


def postpone(connection: Connection, task_id: int, pause_s: float) -> None:
    """Owes the task again, though not before `pause_s` seconds have passed."""
    connection.execute(_POSTPONE, {"id": task_id, "pause": pause_s})


_CLEAR = text(
    """
    DELETE FROM procrastinate_jobs WHERE id IN (
        SELECT d.id FROM procrastinate_jobs d LEFT JOIN procrastinate_workers w ON w.id = d.worker_id
        WHERE d.status = 'doing' AND d.task_name = ANY(CAST(:tasks AS text[]))
            AND (w.id IS NULL OR w.last_heartbeat < now() - make_interval(secs => :stale))
        FOR UPDATE OF d SKIP LOCKED)
    """
)


def clear_abandoned(connection: Connection, stale_s: float) -> int:
    """Removes tasks under way whose worker was silent for `stale_s` seconds; what they owed is owed anew."""
    return connection.execute(_CLEAR, {"tasks": [ADMIT, DRIVE, FINALIZE], "stale": stale_s}).rowcount


def waiting(connection: Connection) -> dict[str, int]:
    """How many tasks wait for a worker, by queue."""
    query = text("SELECT queue_name, count(*) FROM procrastinate_jobs WHERE status = 'todo' GROUP BY queue_name")
    return {row.queue_name: row[1] for row in connection.execute(query)}
