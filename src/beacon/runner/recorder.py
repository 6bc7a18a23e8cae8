"""The recorder: collects what a runner has to record of one job, and commits it in groups.

While one group is being committed the next one gathers, so groups grow with the load and nobody waits for a
timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from beacon.domain.clock import Clock
from beacon.errors import BeaconError
from beacon.store.database import Database
from beacon.store.group import Finish, Noted, Recorded, Start, record_group

LARGEST_GROUP = 1000
Item = Start | Finish | Noted
_Handed = tuple[Item, asyncio.Future[bool]]


class Recorder:
    """Records starts and finishes of one job, and what is noted of attempts between them.

    `told` is called with what each group did.
    """

    def __init__(self, database: Database, job_id: str, clock: Clock, told: Callable[[Recorded], None]) -> None:
        self._database = database
        self._job_id = job_id
        self._clock = clock
        self._told = told
        self._waiting: list[_Handed] = []
        self._committing: asyncio.Task[None] | None = None

    async def record(self, item: Item) -> bool:
        """Returns once the item is committed: whether the attempt may be sent, or the execution has moved.

        Raises DatabaseError where the group could not be committed.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_groups())
        # Where the giver is cancelled, only its waiting ends: the item stays in its group and is committed.
        return await future

    async def flush(self) -> None:
        """Returns when all that was handed in is committed or has failed."""
        while self._committing is not None:
            await asyncio.shield(self._committing)

    async def _commit_groups(self) -> None:
        while self._waiting:
            group, self._waiting = _next_group(self._waiting)
            failure: Exception = RuntimeError("the recorder was ended in the middle of a group")
            try:
                await self._commit(group)
            except BeaconError as error:
                failure = error
            finally:
                # Nobody may wait for ever, whatever ended this; a group that was committed is not touched.
                _fail(group, failure)
        self._committing = None

    def _record(
        self, connection: Connection, starts: list[Start], finishes: list[Finish], noted: list[Noted]
    ) -> Recorded:
        """The clock is read inside the transaction, so that its moments do not lie before the wait for it."""
        return record_group(connection, self._job_id, starts, finishes, self._clock.wall(), noted)

    async def _commit(self, group: list[_Handed]) -> None:
        starts = [item for item, _ in group if isinstance(item, Start)]
        finishes = [item for item, _ in group if isinstance(item, Finish)]
        noted = [item for item, _ in group if isinstance(item, Noted)]
        recorded = await self._database.write_at_once(self._record, starts, finishes, noted)
        self._told(recorded)
        for item, future in group:
            if not future.cancelled():
                future.set_result(_came_to_pass(item, recorded))


def _next_group(waiting: list[_Handed]) -> tuple[list[_Handed], list[_Handed]]:
    """The next group and the rest, in order. A second move of an execution opens another group: what a group did is
    told by execution, and one that its other item moved would pass for moved by both."""
    moved: set[str] = set()
    for place, (item, _) in enumerate(waiting[:LARGEST_GROUP]):
        if not isinstance(item, Noted):
            if item.execution_id in moved:
                return waiting[:place], waiting[place:]
            moved.add(item.execution_id)
    return waiting[:LARGEST_GROUP], waiting[LARGEST_GROUP:]


def _came_to_pass(item: Item, recorded: Recorded) -> bool:
    match item:
        case Start():
            return item.attempt_id in recorded.started
        case Finish():
            return item.execution_id in recorded.moved
        case Noted():
            return True


def _fail(group: list[_Handed], failure: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(failure)
            # Read here once, so that an item nobody waits for any more is no complaint at exit.
            future.exception()
