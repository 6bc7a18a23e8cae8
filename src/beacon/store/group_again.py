"""A group that is recorded again, because nobody knows whether an earlier try of it was committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from beacon.domain.states import TERMINAL, ExecutionStatus
from beacon.store import ledger
from beacon.store.group import record_group
from beacon.store.group_items import Finish, Noted, Recorded, Start
from beacon.store.tables import attempts, executions


def record_again(
    connection: Connection,
    job_id: str,
    starts: Sequence[Start],
    finishes: Sequence[Finish],
    now: float,
    noted: Sequence[Noted] = (),
) -> Recorded:
    """Records what is not recorded yet of the ends and notes; says of the starts which of them had been committed.

    A start that had not is not made here: its moment has passed. In one transaction under the job's lock, so that an
    earlier try which is still under way on a server is waited for. Raises NotFoundError for an unknown job.
    """
    _end_with_its_client(connection)
    ledger.lock_job(connection, job_id)
    before = _Standing.read(connection, starts, finishes)
    recorded = [finish for finish in finishes if before.has(finish)]
    known = {id(finish) for finish in recorded}
    rest = [finish for finish in finishes if id(finish) not in known]
    did = record_group(connection, job_id, (), rest, now, noted)
    started = frozenset(start.attempt_id for start in starts if before.is_started(start))
    moved = {finish.execution_id for finish in recorded if before.moved_by(finish)}
    moved |= {start.execution_id for start in starts if before.is_started(start)}
    return replace(did, started=started, moved=did.moved | moved)


def _end_with_its_client(connection: Connection) -> None:
    """A worker that is stopped in the middle of this transaction must not hold the job for long."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = '5s'")


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the database has of a group: attempts as (epoch, status, whether an answer is kept beside them), and
    executions as (status, number of the newest attempt)."""

    attempts: dict[str, tuple[int, str, bool]]
    executions: dict[str, tuple[ExecutionStatus, int]]

    @classmethod
    def read(cls, connection: Connection, starts: Sequence[Start], finishes: Sequence[Finish]) -> _Standing:
        tried = {start.attempt_id for start in starts} | {f.attempt_id for f in finishes if f.attempt_id}
        touched = {finish.execution_id for finish in finishes}
        a, e = attempts.c, executions.c
        kept = select(a.id, a.epoch, a.status, a.kept_json.is_not(None)).where(a.id.in_(sorted(tried)))
        standing = select(e.id, e.status, e.attempts).where(e.id.in_(sorted(touched)))
        return cls(
            {key: (epoch, status, bool(has)) for key, epoch, status, has in connection.execute(kept)},
            {key: (ExecutionStatus(status), number) for key, status, number in connection.execute(standing)},
        )

    def is_started(self, start: Start) -> bool:
        """An epoch is given to one runner alone: an attempt that has it is that runner's."""
        known = self.attempts.get(start.attempt_id)
        return known is not None and known[0] == start.epoch

    def has(self, finish: Finish) -> bool:
        """Whether this very end is recorded, as the attempt's or beside another's."""
        if finish.attempt_id is None:
            standing = self.executions.get(finish.execution_id)
            return standing is not None and standing[0] is finish.status and standing[0] in TERMINAL
        _, status, keeps = self.attempts.get(finish.attempt_id, (0, "", False))
        if status == "refused" and finish.attempt_status != "refused":
            return keeps or finish.answer is None
        return status == finish.attempt_status

    def moved_by(self, finish: Finish) -> bool:
        """Whether the execution stands where this end, which is recorded, has put it."""
        status, newest = self.executions[finish.execution_id]
        if finish.attempt_id is not None and self.attempts[finish.attempt_id][1] != finish.attempt_status:
            return False
        answered = finish.status is ExecutionStatus.COMPLETED
        return status is finish.status and (answered or finish.number is None or newest == finish.number)
