"""What a runner reads and writes is tried again while the database is away, and who asks is told since when."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from beacon.errors import DatabaseError
from beacon.runner import patience
from beacon.runner.patience import PatientDatabase
from beacon.runner.presence import Presence
from beacon.store.database import explain_sqlite


class Clock:
    """Each pause of the runner takes as long as it says, at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Away:
    """A database of which the first `failures` calls find what SQLite says with `text`."""

    def __init__(self, text: str, failures: int) -> None:
        self.text, self.failures, self.tries = text, failures, 0
        self.seen: Callable[[], None] = lambda: None

    async def write(self, *_: Any) -> str:
        self.tries += 1
        self.seen()
        if self.tries <= self.failures:
            raise explain_sqlite(OperationalError("COMMIT", {}, sqlite3.OperationalError(self.text)), "sqlite:///x")
        return "done"

    read = write


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, real = Clock(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real(0)

    monkeypatch.setattr(patience.asyncio, "sleep", sleep)
    return clock


def patient(away: Away, clock: Clock, hold_s: float | None = None) -> PatientDatabase:
    return PatientDatabase(away, clock, presence=Presence(clock), hold_s=hold_s)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["database is locked", "database or disk is full"])
@pytest.mark.parametrize("call", ["write", "read"])
async def test_a_call_is_held_until_it_can_be_done(clock: Clock, text: str, call: str) -> None:
    assert await getattr(patient(Away(text, 500), clock), call)(print) == "done"
    assert clock.now > 120


async def test_who_asks_is_told_since_when_and_why_the_database_is_away(clock: Clock) -> None:
    away = Away("database or disk is full", 3)
    database = patient(away, clock)
    told: list[str | None] = []
    away.seen = lambda: told.append(str(database.presence.error()) if database.presence.away else None)
    await database.write(print)
    assert told[0] is None
    assert "away since 00:00:00 UTC: the disk is full" in (told[1] or "")
    assert database.presence.error() is None
    assert database.presence.losses == 1


@pytest.mark.parametrize(("text", "says"), [("database is locked", "is locked"), ("disk is full", "the disk is full")])
async def test_what_is_given_up_says_how_long_it_was_tried_and_is_not_held_as_long_again(
    clock: Clock, text: str, says: str
) -> None:
    away = Away(text, 10_000)
    database = patient(away, clock, hold_s=30.0)
    with pytest.raises(DatabaseError) as raised:
        await database.write(print)
    assert says in raised.value.what
    assert raised.value.what.endswith("tried again for 30 s")
    tries = away.tries
    with pytest.raises(DatabaseError):
        await database.write(print)
    assert away.tries == tries + 1


async def test_a_runner_that_is_stopped_waits_a_little_and_no_longer(clock: Clock) -> None:
    database = patient(Away("database is locked", 10_000), clock)
    writing = asyncio.create_task(database.write(print))
    await asyncio.sleep(0)
    database.stop()
    with pytest.raises(DatabaseError):
        await writing
    assert patience.STOPPED_S <= clock.now < patience.STOPPED_S + 5


async def test_what_does_not_pass_is_said_at_once(clock: Clock) -> None:
    away = Away("attempt to write a readonly database", 10_000)
    with pytest.raises(DatabaseError):
        await patient(away, clock).write(print)
    assert away.tries == 1
