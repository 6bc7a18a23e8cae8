"""An execution in a runner's hands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from beacon.domain.deadline import Deadline
from beacon.store.executions import OpenExecution
from beacon.store.leases import Shard


class ShardUnderWay:
    """A shard that this runner drives: how many of its executions are still in hand, and whether it was lost."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.lost = False
        self._in_hand = 0
        self._settled = asyncio.Event()

    def take(self, count: int) -> None:
        self._in_hand = count
        self._settled.clear()

    def settle_one(self) -> None:
        self._in_hand -= 1
        if self._in_hand == 0:
            self._settled.set()

    async def all_settled(self) -> None:
        await self._settled.wait()


@dataclass(slots=True, eq=False)
class Work:
    """`attempts` and `counted` grow here as they do in the database; `avoid` names providers that mismatched.

    `provider` is that of the newest attempt. `references` are providers' own names for attempts, by the attempt's
    number. `look_back` until it was looked whether an attempt of an earlier time was answered after all.
    """

    execution: OpenExecution
    under: ShardUnderWay
    attempts: int
    counted: int
    deadline: Deadline | None = None
    cold_start_added: bool = False
    avoid: frozenset[str] = frozenset()
    look_back: bool = False
    provider: str | None = None
    references: dict[int, str] = field(default_factory=dict)

    @property
    def reference(self) -> str | None:
        """How the provider refers to the newest attempt, where it does."""
        return self.references.get(self.attempts)

    @property
    def cell(self) -> tuple[str, str]:
        return self.execution.model, self.execution.region
