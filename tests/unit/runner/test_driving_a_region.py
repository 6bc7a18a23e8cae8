"""A region whose shards cannot be looked for any more: what drives the others has ended when that is told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from beacon.errors import DatabaseError
from beacon.runner.runner import Runner


async def test_shards_under_way_have_ended_when_their_region_has() -> None:
    begun, ended, taken = asyncio.Event(), [], []

    async def take(*_: object) -> str:
        if taken:
            await begun.wait()
            raise DatabaseError("the database is away")
        taken.append("a shard")
        return "a shard"

    async def drive_shard(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # it has something to give back
            ended.append("a shard")

    runner: Any = object.__new__(Runner)
    runner._take_shard, runner._drive_shard = take, drive_shard
    dry = asyncio.Event()
    drive: Any = SimpleNamespace(interrupted=False, dry={"us": dry}, exhausted=set(), job_id="job")
    waking = asyncio.create_task(begun.wait())
    waking.add_done_callback(lambda _: dry.set())
    with pytest.raises(DatabaseError):
        await runner._drive_region(drive, "us", set())
    assert ended == taken
