"""A job that no process runs: the commands that show it say so, and what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path

from beacon.domain.clock import SystemClock
from beacon.runner.admission import submit
from beacon.runner.inputs import read_fleet, read_spec
from beacon.store.database import open_database
from tests.integration.cli.conftest import PATIENCE_S, Beacon


async def submitted(beacon: Beacon) -> str:
    database = await open_database(f"sqlite:///{beacon.database}")
    fleet = read_fleet(Path(beacon.folder / "fleet.yaml")).fleet
    job_id, _ = await submit(database, read_spec(beacon.folder / "spec.yaml"), fleet, SystemClock())
    await database.close()
    return job_id


async def test_jobs_and_watch_say_that_nobody_runs_a_job_and_what_to_do(ready: Beacon) -> None:
    job_id = await submitted(ready)
    says = f"No process runs job {job_id}: `beacon run --resume {job_id}` or `beacon serve` goes on with it."

    listed = await ready("jobs")
    assert (listed.code, says in listed.err) == (0, True)

    watching = await ready.start("watch", job_id)
    assert watching.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while says.encode() not in (line := await watching.stderr.readline()):
                assert line, "it ended without saying so"
    finally:
        watching.kill()
        await watching.wait()
