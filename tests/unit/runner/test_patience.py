"""What a runner has to write is held through a lock or a full disk, and then given up once."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from beacon.errors import DatabaseError
from beacon.runner import patience
from beacon.runner.patience import PatientDatabase
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
    """A database of which the first `failures` writes find what SQLite says with `text`."""

    def __init__(self, text: str, failures: int) -> None:
        self.text, self.failures, self.tries = text, failures, 0

    async def write(self, *_: Any) -> str:
        self.tries += 1
        if self.tries <= self.failures:
            raise explain_sqlite(OperationalError("COMMIT", {}, sqlite3.OperationalError(self.text)), "sqlite:///x")
        return "written"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, real = Clock(), asyncio.sleep

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        await real(0)

    monkeypatch.setattr(patience.asyncio, "sleep", sleep)
    return clock


def patient(away: Away, clock: Clock) -> PatientDatabase:
    return PatientDatabase(away, clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["database is locked", "database or disk is full"])
async def test_a_write_is_held_until_it_can_be_done(clock: Clock, text: str) -> None:
    assert await patient(Away(text, 50), clock).write(print) == "written"


@pytest.mark.parametrize(("text", "says"), [("database is locked", "is locked"), ("disk is full", "the disk is full")])
async def test_what_is_given_up_says_how_long_it_was_tried_and_is_not_held_as_long_again(
    clock: Clock, text: str, says: str
) -> None:
    away = Away(text, 10_000)
    database = patient(away, clock)
    with pytest.raises(DatabaseError) as raised:
        await database.write(print)
    assert says in raised.value.what
    assert raised.value.what.endswith("tried again for 30 s")
    tries = away.tries
    with pytest.raises(DatabaseError):
        await database.write(print)
    assert away.tries == tries + 1


async def test_what_does_not_pass_is_said_at_once(clock: Clock) -> None:
    away = Away("attempt to write a readonly database", 10_000)
    with pytest.raises(DatabaseError):
        await patient(away, clock).write(print)
    assert away.tries == 1
