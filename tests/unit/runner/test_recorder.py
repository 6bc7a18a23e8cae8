"""The recorder keeps what it was handed, whatever becomes of whoever handed it in."""

from __future__ import annotations

import asyncio
from typing import Any

from beacon.domain.clock import SystemClock
from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.runner.patience import PatientDatabase
from beacon.runner.presence import Presence
from beacon.runner.recorder import Recorder
from beacon.runner.spool import Spool
from beacon.store.group_items import Finish, Recorded, Start


class Slow:
    """A database that commits when it is told to."""

    def __init__(self) -> None:
        self.committed: list[list[str]] = []
        self.may_commit = asyncio.Event()

    async def write_at_once(self, _function: Any, starts: list[Start], *_: Any) -> Recorded:
        await self.may_commit.wait()
        ids = [start.attempt_id for start in starts]
        self.committed.append(ids)
        return Recorded(1, JobStatus.RUNNING, None, 0.0, frozenset(ids), frozenset())


def recorder_of(database: Any) -> Recorder:
    clock = SystemClock()
    patient = PatientDatabase(database, clock, presence=Presence(clock))
    return Recorder(patient, "job", clock, lambda _: None, Spool())


def start(name: str) -> Start:
    return Start(f"x-{name}", name, 1, 0, 1, "us-a", 0.0, 1.0)


async def test_what_was_handed_in_is_committed_though_its_giver_is_cancelled():
    database = Slow()
    recorder = recorder_of(database)
    givers = [asyncio.create_task(recorder.record(start(name))) for name in "abcd"]
    await asyncio.sleep(0)
    givers[0].cancel()
    givers[2].cancel()
    database.may_commit.set()
    told = await asyncio.gather(*givers, return_exceptions=True)
    await recorder.flush()
    assert [name for group in database.committed for name in group] == ["a", "b", "c", "d"]
    assert [type(each) for each in told] == [asyncio.CancelledError, bool, asyncio.CancelledError, bool]


class First:
    """A database that takes the first end of an execution and refuses every other."""

    def __init__(self) -> None:
        self.over: set[str] = set()

    async def write_at_once(self, _function: Any, _starts: Any, finishes: list[Finish], *_: Any) -> Recorded:
        moved = frozenset(finish.execution_id for finish in finishes) - self.over
        self.over |= moved
        return Recorded(1, JobStatus.RUNNING, None, 0.0, frozenset(), moved)


def finish(execution: str, attempt: str | None) -> Finish:
    return Finish(execution, attempt, 1, 0, ExecutionStatus.FAILED, "failed", 0.0)


async def test_an_end_that_was_refused_is_not_told_as_one_that_moved_its_execution():
    recorder = recorder_of(First())
    ends = [finish("x", "x-1"), finish("y", "y-1"), finish("x", None)]
    told = await asyncio.gather(*(recorder.record(each) for each in ends))
    assert told == [True, True, False]
