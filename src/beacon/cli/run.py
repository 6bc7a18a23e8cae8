"""`beacon run`: submits a job, or goes on with one, and stays until its findings are there.

What reads the command and the spec is here, what runs the job in `beacon.cli.running`: where the fleet is the lab, its
processes load beside this one.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.settings import GATEWAY_VARIABLE, DatabaseOption, FleetOption, JsonOption
from beacon.domain.spec import JobSpec
from beacon.errors import InputError
from beacon.lab.fleet import Lab, begin_lab
from beacon.runner.inputs import LAB, find_fleet, read_spec


def run(
    spec: Path | None = None,
    /,
    *,
    resume: Annotated[str | None, Parameter(help="Go on with this job instead of submitting a new one.")] = None,
    server: Annotated[
        str | None, Parameter(help="Have a `beacon serve` at this address run it, with its fleet and its database.")
    ] = None,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run a job to its findings: progress on stderr, the findings on stdout.

    Ctrl-C stops it cleanly; what was recorded is kept, and `--resume` goes on.

    For example:

    ```
    beacon run examples/quickstart.yaml --fleet lab
    beacon run --resume k3v9 --fleet fleet.yaml
    beacon run job.yaml --server http://127.0.0.1:8080 --json
    ```

    Exit codes: 0 the job met its criteria; 1 it did not, failed or was cancelled; 2 bad input; 3 a service or the
    database could not be used; 130 interrupted.

    Parameters
    ----------
    spec
        The job spec, YAML or JSON.
    """
    if (spec is None) == (resume is None):
        raise InputError("name either a spec or a job to resume", todo="beacon run SPEC, or beacon run --resume JOB")
    began = time.monotonic()
    # Read first: a fault in the spec is said at once, with nothing started and nothing stored.
    wanted: JobSpec | str = read_spec(spec) if spec is not None else resume or ""
    if server is not None and (fleet or database):
        todo = "leave out --fleet and --database, or --server"
        raise InputError("a server runs jobs with its own fleet and database", where="--server", todo=todo)
    lab = _lab_in_advance(fleet) if server is None and spec is not None else None
    try:
        running = import_module("beacon.cli.running")
        telling = running.Telling(as_json, began, fleet, database)
        code: int = running.run(wanted, str(spec), telling, server, lab)
    finally:
        if lab is not None:
            lab.stop()
    return code


def _lab_in_advance(fleet: str | None) -> Lab | None:
    """The lab where it is the fleet; it ends with this process. Raises InputError where no fleet is configured."""
    if os.environ.get(GATEWAY_VARIABLE, "").strip():
        return None
    return begin_lab() if find_fleet(fleet, os.environ) == LAB else None
