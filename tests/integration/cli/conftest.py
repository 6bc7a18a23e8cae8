"""The command line as a person runs it: the real entry in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.runner.scripted import Scripted, fleet_of

PATIENCE_S = 120


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What stdout holds, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def job_id(self) -> str:
        """From the first line of stderr, as with `--json`."""
        return self.err.splitlines()[0]


@dataclass
class Beacon:
    """Runs `beacon` in `folder`, with a database there."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        return self.folder / "beacon.db"

    async def __call__(self, *arguments: str, preexec: Callable[[], None] | None = None, **more: Any) -> Ran:
        process = await self.start(*arguments, preexec=preexec, **more)
        try:
            out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ran(process.returncode or 0, (out or b"").decode(), err.decode())

    async def start(
        self, *arguments: str, preexec: Callable[[], None] | None = None, stdout: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("BEACON_")}
        inherited.pop("COLUMNS", None)
        # Keys and the log of seals stand in the user's data directory.
        place = {"BEACON_DATABASE_URL": f"sqlite:///{self.database}", "XDG_DATA_HOME": str(self.folder / "data")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "beacon.cli.main", *arguments),
            cwd=self.folder,
            env=inherited | place | self.environment,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=preexec,
            # Ctrl-C of the test run is not for it.
            start_new_session=True,
        )

    def write_spec(self, name: str = "spec.yaml", **changes: Any) -> dict[str, Any]:
        """2 questions x 1 model x 2 regions x 2 repeats: 8 executions."""
        spec = {
            "schema": "beacon.job/v1",
            "name": "A job",
            "questions": [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(2)],
            "models": ["alpha"],
            "regions": ["us", "eu"],
            "repeats": 2,
            "seed": 7,
            **changes,
        }
        (self.folder / name).write_text(yaml.safe_dump(spec))
        return spec

    def write_fleet(self, *providers: Scripted, **fields: Any) -> None:
        """One provider a region, first us, then eu."""
        fleet = fleet_of(dict(zip(("us", "eu"), providers, strict=True)), **fields)
        document = fleet.model_dump(mode="json", by_alias=True, exclude_none=True)
        (self.folder / "fleet.yaml").write_text(yaml.safe_dump(document))

    def jobs_stored(self) -> int:
        """0 also where there is no database."""
        if not self.database.exists():
            return 0
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("SELECT count(*) FROM jobs").fetchone()[0]


@pytest.fixture
def beacon(tmp_path: Path) -> Beacon:
    """In an empty folder: no fleet and no database."""
    return Beacon(tmp_path)


@pytest.fixture
def ready(beacon: Beacon, empty_database: Path) -> Beacon:
    """With an up-to-date database without jobs, a spec, and a fleet whose providers nobody asks."""
    shutil.copy(empty_database, beacon.database)
    beacon.write_spec()
    nobody = Scripted(lambda *_: pytest.fail("nothing may be sent"))
    nobody.url = "http://127.0.0.1:9/v1"
    beacon.write_fleet(nobody, nobody)
    return beacon


def interrupt(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGINT)
