"""One poller of the database for each job that is being watched, shared by all its viewers.

A poller reads new events every `POLL_S` and keeps the latest; viewers wait for its pulse and take what they
have not seen. It starts with the first viewer of a job and ends with the last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from beacon.domain.states import JOB_OVER, JobStatus
from beacon.errors import DatabaseError
from beacon.store import events, jobs
from beacon.store.database import Database
from beacon.store.events import Event

POLL_S = 0.1
"""No viewer is sent more than ten updates a second."""
TICK_S = 1.0
"""Viewers wake this often although no event came, for what is not in the database: what providers wait for."""
MOST_KEPT = 2_000
AT_ONCE = 500


class Watch:
    """The newest `seq` of one job, its latest events, and whether it is over."""

    def __init__(self, database: Database, job_id: str, seq: int, over: bool) -> None:
        self._database = database
        self._job_id = job_id
        self._kept: deque[Event] = deque(maxlen=MOST_KEPT)
        self._pulse = asyncio.Event()
        self.seq = seq
        self.over = over
        self.viewers = 0

    async def run(self) -> None:
        """Polls until cancelled, and wakes the viewers: one clock for all of them, however many they are."""
        clock = asyncio.get_running_loop().time
        woken_at = clock()
        while True:
            await asyncio.sleep(POLL_S)
            if await self._look() or clock() - woken_at >= TICK_S:
                woken_at = clock()
                self._pulse.set()
                self._pulse = asyncio.Event()

    async def _look(self) -> bool:
        """Whether anything happened; a database that cannot be read now is tried again."""
        try:
            found = await self._database.read(events.after, self._job_id, self.seq, AT_ONCE)
        except DatabaseError:
            return False
        if found:
            self._kept.extend(found)
            self.seq = found[-1].seq
            self.over = JobStatus(found[-1].data["status"]) in JOB_OVER
        return bool(found)

    async def changed(self) -> None:
        """Returns at the next change, or at the next tick."""
        await self._pulse.wait()

    async def after(self, seq: int) -> list[Event]:
        """Events after `seq`, at most `AT_ONCE`: from memory where it reaches back that far."""
        if seq >= self.seq:
            return []
        if self._kept and self._kept[0].seq <= seq + 1:
            return [event for event in self._kept if event.seq > seq][:AT_ONCE]
        return await self._database.read(events.after, self._job_id, seq, AT_ONCE)


class Watches:
    """The watches of this process, by job."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, Watch] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def on(self, job_id: str) -> AsyncIterator[Watch]:
        """The job's watch for as long as one viewer looks. Raises NotFoundError."""
        watch = self._watches.get(job_id)
        if watch is None:
            job = await self._database.read(jobs.get, job_id)
            watch = self._watches.get(job_id) or Watch(self._database, job_id, job.seq, job.over)
        if job_id not in self._watches:
            self._watches[job_id] = watch
            self._tasks[job_id] = asyncio.create_task(watch.run())
        watch.viewers += 1
        try:
            yield watch
        finally:
            watch.viewers -= 1
            if not watch.viewers:
                del self._watches[job_id]
                self._tasks.pop(job_id).cancel()

    @property
    def watched(self) -> int:
        """How many jobs are polled now."""
        return len(self._watches)
