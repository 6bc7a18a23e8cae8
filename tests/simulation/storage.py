"""The job database of a simulation: the real SQL on SQLite in memory, with an audit of what was committed.

Every simulated process writes to it over a `Storage` of its own, which takes its time, fails, and is where a process
may die: before its commit, or after it and before it knows.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from beacon.errors import DatabaseError
from beacon.store.database import SqliteDatabase
from beacon.store.migrate import bring_up_to_date
from tests.simulation.processes import Process, for_ever
from tests.simulation.virtual import run

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

_OPEN = "('pending', 'running', 'retrying')"
_AUDIT = f"""
CREATE TABLE audit (n INTEGER PRIMARY KEY, what TEXT, id TEXT, before TEXT, after TEXT, note TEXT, owner TEXT);
CREATE TRIGGER audit_executions AFTER UPDATE OF status ON executions WHEN OLD.status <> NEW.status BEGIN
  INSERT INTO audit (what, id, before, after, note)
  VALUES ('execution', NEW.id, OLD.status, NEW.status, NEW.kind); END;
CREATE TRIGGER audit_jobs AFTER UPDATE OF status ON jobs WHEN OLD.status <> NEW.status BEGIN
  INSERT INTO audit (what, id, before, after, note) SELECT 'job', NEW.id, OLD.status, NEW.status,
    (SELECT count(*) FROM executions WHERE job_id = NEW.id AND status IN {_OPEN}) || ' open, '
    || (SELECT count(*) FROM executions e WHERE job_id = NEW.id AND status = 'completed'
        AND NOT EXISTS (SELECT 1 FROM results r WHERE r.execution_id = e.id)) || ' without result'; END;
CREATE TRIGGER audit_stops AFTER UPDATE OF stop_kind ON jobs WHEN NEW.stop_kind IS NOT OLD.stop_kind BEGIN
  INSERT INTO audit (what, id, before, after) VALUES ('stop', NEW.id, OLD.stop_kind, NEW.stop_kind); END;
CREATE TRIGGER audit_ceilings AFTER UPDATE OF cost_usd ON jobs
WHEN NEW.cost_usd >= json_extract(NEW.spec_json, '$.limits.max_cost_usd') BEGIN
  INSERT INTO audit (what, id, before, after) VALUES ('ceiling', NEW.id, OLD.cost_usd, NEW.cost_usd); END;
CREATE TRIGGER audit_attempts AFTER INSERT ON attempts BEGIN
  INSERT INTO audit (what, id, before, after, note, owner)
  SELECT 'attempt', NEW.id, NEW.epoch, s.epoch, NEW.provider, s.owner
  FROM executions e JOIN shards s ON s.job_id = e.job_id AND s.number = e.shard WHERE e.id = NEW.execution_id; END;
CREATE TRIGGER audit_results AFTER INSERT ON results BEGIN
  INSERT INTO audit (what, id, note) VALUES ('result', NEW.execution_id, NEW.attempt_id); END;
CREATE TRIGGER audit_shards AFTER UPDATE OF owner ON shards
WHEN NEW.owner IS NOT NULL AND (NEW.owner IS NOT OLD.owner OR NEW.epoch <> OLD.epoch) BEGIN
  INSERT INTO audit (what, id, before, after, note)
  VALUES ('shard', NEW.job_id || '/' || NEW.number, OLD.epoch, NEW.epoch, NEW.owner); END;
CREATE TRIGGER audit_seals AFTER INSERT ON seals BEGIN
  INSERT INTO audit (what, id, note) VALUES ('seal', NEW.job_id, NEW.generation); END;
"""


class Disk:
    """One database in memory that is put back to its beginning for every seed: compiled statements stay."""

    def __init__(self) -> None:
        self.database = SqliteDatabase(Path(":memory:"))
        self.raw: sqlite3.Connection = run(self.database.write(_raw_connection))
        run(self.database.write(bring_up_to_date))
        self.raw.executescript(_AUDIT)
        self._empty = self.raw.serialize()

    def wipe(self) -> None:
        self.raw.deserialize(self._empty)

    def rows(self, query: str, *given: Any) -> list[dict[str, Any]]:
        cursor = self.raw.execute(query, given)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _raw_connection(connection: Any) -> sqlite3.Connection:
    driver: sqlite3.Connection = connection.connection.driver_connection
    return driver


class Storage:
    """`beacon.store.database.Database` for one process, or for people where `process` is None."""

    url = "simulated"

    def __init__(self, world: World, process: Process | None) -> None:
        self._world = world
        self._process = process
        self._inner = world.disk.database
        self._rng = random.Random(f"storage/{world.scenario.seed}/{process.name if process else 'people'}")

    async def prepare(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await self._wait(0.005, writes=True)
        dies = self._dies_at_this_commit()
        if dies == "before":
            self._world.die(self._process, "before a commit")
            await for_ever()
        done = await self._inner.write(function, *args, **kwargs)
        self._world.follow_audit(self._process)
        self._world.answers_are_stored([item for given in args if isinstance(given, list) for item in given])
        if dies == "after":
            self._world.die(self._process, "after a commit")
            await for_ever()
        if self._rng.random() < 0.2:
            await asyncio.sleep(self._rng.uniform(0, 0.01))
        return done

    write_at_once = write

    async def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        await self._wait(0.002, writes=False)
        return await self._inner.read(function, *args, **kwargs)

    async def _wait(self, longest_s: float, *, writes: bool) -> None:
        await asyncio.sleep(self._rng.uniform(0, longest_s))
        if self._process is None:
            return
        if self._process.dead:
            await for_ever()
        if (writes or not self._world.scenario.only_writes_fail) and self._world.database_fails(self._rng):
            passing = self._rng.random() < 0.5
            what = "the database is locked by another process" if passing else "the database's file could not be read"
            raise DatabaseError(what, where="the simulation", passing=passing)

    def _dies_at_this_commit(self) -> str | None:
        process = self._process
        if process is None or process.commits_left is None:
            return None
        process.commits_left -= 1
        return self._rng.choice(("before", "after")) if process.commits_left == 0 else None
