"""Boards of the jobs that are being looked at, each kept up to the newest committed `seq`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from weakref import WeakValueDictionary

from beacon.domain.spec import JobSpec
from beacon.store import jobs, matrix
from beacon.store.database import Database
from beacon.web.board import Board

MOST_BOARDS = 16
MOST_SPECS = 256


class Boards:
    """Holds the boards of the jobs looked at last. Reads of one job are shared by all who ask at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._boards: OrderedDict[str, Board] = OrderedDict()
        self._specs: OrderedDict[str, JobSpec] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def latest(self, job_id: str, at_least: int | None = None) -> Board:
        """The job's board at the newest `seq`; with `at_least`, as it is held if that is not behind it.

        What it shows is consistent until the next await: another task may move it on. Raises NotFoundError.
        """
        lock = self._locks.setdefault(job_id, asyncio.Lock())
        async with lock:
            board = self._boards.get(job_id)
            if board is None:
                spec = await self.spec(job_id)
                board = Board(spec, await self._database.read(matrix.whole, job_id))
                self._keep(job_id, board)
            elif at_least is None or board.seq < at_least:
                self._boards.move_to_end(job_id)
                board.follow(await self._database.read(matrix.since, job_id, board.seq))
        return board

    async def spec(self, job_id: str) -> JobSpec:
        """A job's spec never changes, so it is read once. Raises NotFoundError."""
        spec = self._specs.get(job_id)
        if spec is None:
            spec = self._specs[job_id] = await self._database.read(jobs.spec_of, job_id)
            if len(self._specs) > MOST_SPECS:
                self._specs.popitem(last=False)
        else:
            self._specs.move_to_end(job_id)
        return spec

    def _keep(self, job_id: str, board: Board) -> None:
        self._boards[job_id] = board
        if len(self._boards) > MOST_BOARDS:
            self._boards.popitem(last=False)
