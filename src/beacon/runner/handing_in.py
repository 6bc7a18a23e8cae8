"""Handing in what a spool holds: recorded as if its runner had just come back with it, first writer wins."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import structlog

from beacon.domain.clock import Clock
from beacon.errors import NotFoundError
from beacon.runner.recorder import LARGEST_GROUP
from beacon.runner.spool import LeftBehind, Spool, left_behind, spool_files
from beacon.store.database import Database
from beacon.store.group import Finish
from beacon.store.group_again import record_again

log = structlog.get_logger()

LOOK_S = 5.0
"""How often a process looks for spools that others of its host left behind."""


async def hand_in_own(database: Database, spool: Spool, job_id: str, clock: Clock) -> None:
    """What an earlier drive of the job, in this process, could not record. Raises DatabaseError."""
    waiting = spool.of(job_id)
    if waiting:
        await _hand_in(database, job_id, waiting, clock)
        spool.settle(waiting)


async def hand_in_left_behind(database: Database, folder: Path, clock: Clock, passed_over: set[Path]) -> None:
    """What processes that have ended left in the folder, as far as this database has its jobs. Raises DatabaseError.

    Files that hold something of other databases stay, and join `passed_over`.
    """
    for path in spool_files(folder):
        if path in passed_over:
            continue
        with left_behind(path) as spool:
            if spool is not None and not await _hand_in_file(database, spool, clock):
                passed_over.add(path)


async def _hand_in_file(database: Database, spool: LeftBehind, clock: Clock) -> bool:
    """Whether all of it could be handed in here; the file is removed then."""
    handed_in, of_others = 0, 0
    by_job = sorted(spool.found, key=lambda spooled: spooled.job_id)
    for job_id, group in groupby(by_job, key=lambda spooled: spooled.job_id):
        finishes = [spooled.finish for spooled in group]
        try:
            await _hand_in(database, job_id, finishes, clock)
        except NotFoundError:
            of_others += len(finishes)
        else:
            handed_in += len(finishes)
    where = str(spool.path)
    if handed_in:
        log.warning("outcomes of a process that has ended were handed in", where=where, count=handed_in)
    if of_others:
        log.warning("outcomes wait for jobs of another database", where=where, count=of_others)
        return False
    if spool.damaged:
        log.error("a spool has lines that cannot be read; it is kept", where=where, lines=spool.damaged)
    spool.remove()
    return True


async def _hand_in(database: Database, job_id: str, finishes: list[Finish], clock: Clock) -> None:
    for start in range(0, len(finishes), LARGEST_GROUP):
        some = finishes[start : start + LARGEST_GROUP]
        await database.write(record_again, job_id, (), some, clock.wall())
