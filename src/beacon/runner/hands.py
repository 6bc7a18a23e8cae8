"""Hands: tasks that carry out one execution after another.

Making a task for each execution is work that none of them needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from beacon.router.router import Placement
from beacon.runner.work import Work


class _Hand:
    """`given` is what it does or did last; `next` is set while it waits for more."""

    __slots__ = ("given", "next")

    def __init__(self, work: Work, placement: Placement) -> None:
        self.given = (work, placement)
        self.next: asyncio.Future[None] | None = None

    def let_go(self, _: object) -> None:
        """One that is cancelled before it begins with what it was given never comes to release anything."""
        self.given[1].release()


class Hands:
    """As many tasks of `tasks` as there are executions under way at once; `carry_out` is awaited with each."""

    def __init__(self, tasks: asyncio.TaskGroup, carry_out: Callable[[Work, Placement], Awaitable[None]]) -> None:
        self._tasks = tasks
        self._carry_out = carry_out
        self._idle: list[_Hand] = []
        self._closed = False

    def give(self, work: Work, placement: Placement) -> None:
        """Begins with the execution at once, in a task that has nothing to do, or in a new one."""
        while self._idle:
            hand = self._idle.pop()
            assert hand.next is not None
            if not hand.next.done():
                hand.given = (work, placement)
                hand.next.set_result(None)
                return
        hand = _Hand(work, placement)
        self._tasks.create_task(self._run(hand)).add_done_callback(hand.let_go)

    def close(self) -> None:
        """Who has nothing to do ends, and the others once they have done what they have in hand."""
        self._closed = True
        for hand in self._idle:
            assert hand.next is not None
            hand.next.cancel()

    async def _run(self, hand: _Hand) -> None:
        loop = asyncio.get_running_loop()
        await self._carry_out(*hand.given)
        while not self._closed:
            hand.next = loop.create_future()
            self._idle.append(hand)
            await hand.next
            await self._carry_out(*hand.given)
