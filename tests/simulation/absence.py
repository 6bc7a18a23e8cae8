"""Seeds in which the database is away for a long time, and commits of which nobody hears.

Beside everything else that goes wrong in a seed. None of it excuses the loss of an answer by a process that lives on.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar
from unittest.mock import patch

from beacon.errors import DatabaseError
from tests.simulation import world as world_module
from tests.simulation.checker import check
from tests.simulation.processes import Process
from tests.simulation.storage import Storage
from tests.simulation.world import World

T = TypeVar("T")

UNHEARD = 0.05
"""How many of the commits break their connection before anybody hears of them."""


class AbsentWorld(World):
    """`absences` are (from, until) in simulated seconds: longer than leases and than most deadlines."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        draw = random.Random(f"absence/{seed}")
        first, second = draw.uniform(1, 15), draw.uniform(60, 80)
        self.absences = ((first, first + draw.uniform(15, 45)), (second, second + draw.uniform(1, 90)))

    @property
    def away(self) -> bool:
        return any(since <= self.now < until for since, until in self.absences)

    @property
    def jumps(self) -> bool:
        """Deadlines wait with the database: how late an attempt may be is not to be told from the outside."""
        return True

    def finalizing(self, process: Process, job_id: str) -> None:
        """Whoever finalizes while the database is away loses the lease and hears of it at the end alone."""
        self.tell("finalizes", process.name, job_id)

    def run(self) -> None:
        with patch.object(world_module, "Storage", AwayStorage):
            super().run()


class AwayStorage(Storage):
    """What a process has of a database that is away."""

    async def write(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self._look()
        done = await super().write(function, *args, **kwargs)
        if self._process is not None and self._unheard():
            self._world.tell("unheard", self._process.name)
            raise DatabaseError("the connection broke", where="the simulation", passing=True)
        return done

    write_at_once = write

    async def read(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self._look()
        return await super().read(function, *args, **kwargs)

    def _look(self) -> None:
        world: Any = self._world
        if self._process is not None and not self._process.dead and world.away:
            raise DatabaseError("the server cannot be reached", where="the simulation", passing=True)

    def _unheard(self) -> bool:
        return self._rng.random() < UNHEARD


def simulate_absence(seed: int) -> tuple[str, ...]:
    """Runs and checks one seed: what was wrong in it."""
    world = AbsentWorld(seed)
    world.run()
    return tuple(check(world))
