"""`beacon demo`: simulated providers in three regions, a job over them, its findings, and the portal."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.busy import run_busy
from beacon.cli.document import exit_code_of
from beacon.cli.embedded import Embedded, Interruption, embedded
from beacon.cli.findings import print_findings, report_command
from beacon.cli.listening import address, listen
from beacon.cli.progress import show_progress
from beacon.cli.serve import DEFAULT_PORT
from beacon.cli.serving import PortalServer
from beacon.cli.settings import PORT
from beacon.cli.show import newest_report
from beacon.domain.clock import SystemClock
from beacon.domain.spec import check_against_fleet
from beacon.errors import ExitCode, InputError
from beacon.provenance.keys import KEY_FILE, KEY_VARIABLE
from beacon.provenance.log import LOG_FILE, LOG_VARIABLE
from beacon.runner.admission import submit
from beacon.runner.inputs import LAB, read_spec
from beacon.store import jobs
from beacon.store.jobs import Job

QUICKSTART = Path(__file__).with_name("quickstart.yaml")


def demo(
    *,
    once: Annotated[bool, Parameter(negative="", help="End when the job is done, with its exit code.")] = False,
    real: Annotated[bool, Parameter(negative="", help="Ask a real small model on this machine.")] = False,
    port: Annotated[int, PORT, Parameter(help="Port of the portal; if in use, another.")] = DEFAULT_PORT,
    database: Annotated[str | None, Parameter(help="Where to keep the job; default a temporary folder.")] = None,
) -> int:
    """Show Beacon at work: providers in three regions over real HTTP, a 3 models x 3 regions job, its findings.

    The answers are simulated, and marked so, unless `--real` is given.

    Example: `beacon demo --once`
    """
    if real:
        return int(import_module("beacon.cli.demo_real").demo_real(once=once, port=port, database=database))
    with tempfile.TemporaryDirectory(prefix="beacon-demo-") as folder:
        if database is None:
            keep_evidence_in(Path(folder))
        return run_busy(run_demo(database, Path(folder), LAB, QUICKSTART, once=once, port=port))


def keep_evidence_in(folder: Path) -> None:
    """What is sealed goes with its database: in the user's own log it would stand for a job that nobody has."""
    os.environ[KEY_VARIABLE] = str(folder / KEY_FILE)
    os.environ[LOG_VARIABLE] = str(folder / LOG_FILE)


async def run_demo(
    database: str | None, folder: Path, fleet: str, spec_file: Path, *, once: bool, port: int
) -> ExitCode:
    """Serves the portal, runs the spec's job, prints its findings; goes on serving unless `once`.

    The job is kept in `database`, by default in `folder` for as long as that is there.
    """
    with _listen_somewhere(port) as listener:
        async with embedded(database or f"sqlite:///{folder}/beacon.db", fleet) as house:
            interruption = Interruption(house.runner)
            spec = read_spec(spec_file)
            check_against_fleet(spec, house.fleet, str(spec_file))
            job_id, _ = await submit(house.database, spec, house.fleet, SystemClock())
            page = f"{address(listener)}/jobs/{job_id}"
            print(f"Job {job_id}: {spec.total:,} executions. Watch it at {page}", file=sys.stderr, flush=True)
            portal = PortalServer(house, listener)
            serving = asyncio.create_task(portal.run())
            job = await _follow(house, job_id)
            more_at = _more_at(job_id, page, database, once=once)
            print_findings(job, await newest_report(house.database, job_id), more_at)
            if not once and not interruption.asked:
                print(f"\nThe portal is at {page} until you press Ctrl-C.", file=sys.stderr, flush=True)
                await asyncio.wait([serving])
            portal.stop()
            await serving
    return exit_code_of(job) if job.over else ExitCode.INTERRUPTED


def _more_at(job_id: str, page: str, database: str | None, *, once: bool) -> str:
    if not once:
        return f"{page}/findings"
    if database is not None:
        return report_command(job_id, database)
    return "on the portal's pages without --once; with --database demo.db the job is kept for `beacon report`"


async def _follow(house: Embedded, job_id: str) -> Job:
    """Shows how the runner beside the portal gets on with the job, until it is over or the runner stops."""

    async def until_over() -> None:
        while not (await house.database.read(jobs.get, job_id)).over and not house.runner.stopping:
            await asyncio.sleep(0.1)

    await show_progress(house.database, house.router.snapshot, job_id, asyncio.create_task(until_over()))
    return await house.database.read(jobs.get, job_id)


def _listen_somewhere(port: int) -> socket.socket:
    try:
        return listen("127.0.0.1", port)
    except InputError:
        return listen("127.0.0.1", 0)
