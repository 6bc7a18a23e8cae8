"""The analyst: a process of its own that classifies answers, and analyses and seals jobs.

Numerics stay out of the runner's process, so that neither its event loop nor its memory feels them. The
process starts when it is first asked, yields to everything else, and reads the database itself. The two speak
JSON messages, each behind its length as four bytes, over the process's standard input and output; the process
ends when its input does, so that it never outlives the runner.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from beacon.errors import DatabaseError, UnavailableError

LENGTH_BYTES = 4
PROCESS = "beacon.runner.analyst_process"
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Products of small matrices: linear-algebra libraries that hand them out to threads, which spin while they wait, took
eight times the processor time on a busy machine."""


class Analyst:
    """Runs the analyst process's tasks, one at a time. Use `async with`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Analyst:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def start(self) -> None:
        """Has the process loaded before it is asked."""
        async with self._turn:
            await self._ready()

    async def ask(self, task: str, *args: object) -> Any:
        """What the analyst's `task` returns for `args`; both are plain JSON values.

        Raises UnavailableError where the process died twice over it, or the task failed.
        """
        question = json.dumps([task, args]).encode()
        async with self._turn:
            for _ in range(2):
                process = await self._ready()
                try:
                    return _result(await _exchange(process, question))
                except (EOFError, ConnectionError):
                    await self._end()
                except asyncio.CancelledError:
                    # Its answer would be read by the next one who asks.
                    await self._end()
                    raise
        raise UnavailableError(
            f"the analysis process ended twice while it worked on {task!r}",
            todo="look for a lack of memory in the system's log, then `beacon retry JOB --finalize`",
        )

    async def _ready(self) -> asyncio.subprocess.Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                PROCESS,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=ONE_THREAD | os.environ,
                # Ctrl-C reaches a whole process group; the runner decides when the analyst ends.
                start_new_session=True,
            )
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _exchange(process: asyncio.subprocess.Process, question: bytes) -> Any:
    """Raises EOFError or ConnectionError where the process is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(question).to_bytes(LENGTH_BYTES, "big") + question)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
    return json.loads(await process.stdout.readexactly(length))


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        # A database that cannot be used now is no verdict on the job; whoever asked may try again.
        kind = DatabaseError if answer.get("code") == DatabaseError.code else UnavailableError
        raise kind(answer["error"], where=answer.get("where"), todo=answer.get("todo"))
    return answer["result"]
