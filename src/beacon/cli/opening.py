"""Opening a database that may be away for a while when a process starts."""

from __future__ import annotations

import asyncio

from beacon.cli.settings import database_file
from beacon.cli.terminal import say
from beacon.errors import DatabaseError
from beacon.store.database import Database, open_database

START_S = 600.0
"""How long `beacon serve` and `beacon worker` wait at their start for a database that is away; then they end with exit
code 3, for whatever started them to start them again."""
RUN_START_S = 30.0
"""How long a command that drives one job waits at its start for a database server that is away: who sits before it is
told at once. A file that another process holds is said after `BUSY_TIMEOUT_S`."""
RUN_HOLD_S = 600.0
"""How long a command that drives one job waits for a database that went away meanwhile; then it ends with exit code 3.
What had ended is in the spool, and `beacon run --resume` goes on."""
AGAIN_S = 1.0
"""Between two looks whether a database is there at last."""


async def open_in_time(url: str, within_s: float) -> Database:
    """Opens the database, and waits for one that is away; says so at once. Raises as `open_database` does."""
    loop = asyncio.get_running_loop()
    until, said = loop.time() + within_s, False
    while True:
        try:
            return await open_database(url)
        except DatabaseError as error:
            if not error.passing or loop.time() + AGAIN_S > until:
                raise
            if not said:
                said = True
                where = f" ({error.where})" if error.where else ""
                say(
                    f"The database is away{where}: {error.what}. Waiting up to {within_s:g} s for it; Ctrl-C ends that."
                )
        await asyncio.sleep(AGAIN_S)


def patience_of_a_run(url: str) -> float:
    """How long a command that drives one job waits for the database at its start."""
    return 0.0 if database_file(url) is not None else RUN_START_S
