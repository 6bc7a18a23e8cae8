"""The recorder: collects what a runner has to record of one job, and commits it in groups.

While one group is being committed the next one gathers, so groups grow with the load and nobody waits for a
timer. While the database is away, ends of attempts wait in the spool, and starts are turned away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from beacon.domain.clock import Clock
from beacon.errors import BeaconError, DatabaseError
from beacon.runner.patience import PatientDatabase
from beacon.runner.spool import Spool
from beacon.store.group import Finish, Noted, Recorded, Start, record_group
from beacon.store.group_again import record_again

LARGEST_GROUP = 1000
Item = Start | Finish | Noted
_Handed = tuple[Item, asyncio.Future[bool]]


class TurnedAway(Exception):
    """An attempt that was not written ahead, because the database is away: nothing may be sent now."""


class Recorder:
    """Records starts and finishes of one job, and what is noted of attempts between them.

    `told` is called with what each group did.
    """

    def __init__(
        self,
        database: PatientDatabase,
        job_id: str,
        clock: Clock,
        told: Callable[[Recorded], None],
        spool: Spool,
    ) -> None:
        self._database = database
        self._presence = database.presence
        self._job_id = job_id
        self._clock = clock
        self._told = told
        self._spool = spool
        self._waiting: list[_Handed] = []
        self._group: list[_Handed] = []
        self._committing: asyncio.Task[None] | None = None
        self._keeping: set[asyncio.Task[None]] = set()

    async def record(self, item: Item) -> bool:
        """Returns once the item is committed: whether the attempt may be sent, or the execution has moved.

        Raises TurnedAway for a start while the database is away, DatabaseError where the group could not be
        committed.
        """
        if self._presence.away:
            if isinstance(item, Start):
                raise TurnedAway
            # Where the giver is cancelled, it is kept all the same.
            await asyncio.shield(self._keep([item]))
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._committing is None:
            self._presence.when_lost.add(self._wait_in_spool)
            self._committing = asyncio.create_task(self._commit_groups())
        # Where the giver is cancelled, only its waiting ends: the item stays in its group and is committed.
        return await future

    async def flush(self) -> None:
        """Returns when all that was handed in is committed or has failed; nothing is handed in after it."""
        while self._committing is not None:
            await asyncio.shield(self._committing)
        self._presence.when_lost.discard(self._wait_in_spool)

    def _wait_in_spool(self) -> None:
        """The database went away: ends in hand must not be lost with this process, and no start waits here."""
        turned_away = [handed for handed in self._waiting if isinstance(handed[0], Start)]
        self._waiting = [handed for handed in self._waiting if not isinstance(handed[0], Start)]
        _fail(turned_away, TurnedAway())
        in_hand = [item for item, _ in (*self._group, *self._waiting)]
        keeping = asyncio.create_task(self._keep(in_hand))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)

    async def _keep(self, items: list[Item]) -> None:
        await self._spool.keep(self._job_id, [item for item in items if isinstance(item, Finish)])
        self._presence.note_waiting()

    async def _commit_groups(self) -> None:
        while self._waiting:
            self._group, self._waiting = _next_group(self._waiting)
            failure: Exception = RuntimeError("the recorder was ended in the middle of a group")
            try:
                await self._commit(self._group)
            except BeaconError as error:
                failure = error
                if isinstance(error, DatabaseError):
                    # Whoever drives the job next hands it in.
                    await self._keep([item for item, _ in self._group])
            finally:
                # Nobody may wait for ever, whatever ended this; a group that was committed is not touched.
                _fail(self._group, failure)
                self._group = []
        self._committing = None

    async def _commit(self, group: list[_Handed]) -> None:
        starts = [item for item, _ in group if isinstance(item, Start)]
        finishes = [item for item, _ in group if isinstance(item, Finish)]
        noted = [item for item, _ in group if isinstance(item, Noted)]
        database, again = self._database.direct, False

        async def anew() -> Recorded:
            nonlocal again
            again = True
            return await database.write(self._record_again, starts, finishes, noted)

        recorded = await self._database.patiently(
            lambda: database.write_at_once(self._record, starts, finishes, noted), anew
        )
        self._spool.settle(finishes)
        self._told(recorded)
        for item, future in group:
            if future.cancelled():
                continue
            if again and isinstance(item, Start) and item.attempt_id not in recorded.started:
                future.set_exception(TurnedAway())
            else:
                future.set_result(_came_to_pass(item, recorded))

    def _record(
        self, connection: Connection, starts: list[Start], finishes: list[Finish], noted: list[Noted]
    ) -> Recorded:
        """The clock is read inside the transaction, so that its moments do not lie before the wait for it."""
        return record_group(connection, self._job_id, starts, finishes, self._clock.wall(), noted)

    def _record_again(
        self, connection: Connection, starts: list[Start], finishes: list[Finish], noted: list[Noted]
    ) -> Recorded:
        """What of the group an earlier try has not recorded; whether it was committed is not known."""
        return record_again(connection, self._job_id, starts, finishes, self._clock.wall(), noted)


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
