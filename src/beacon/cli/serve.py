"""`beacon serve`: the portal, the API and a runner in one process."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.busy import run_busy
from beacon.cli.embedded import Interruption, embedded
from beacon.cli.listening import address, listen
from beacon.cli.serving import PortalServer
from beacon.cli.settings import PORT, DatabaseOption, FleetOption
from beacon.errors import ExitCode
from beacon.telemetry.logs import configure_logs

DEFAULT_PORT = 8080


def serve(
    *,
    host: Annotated[str, Parameter(help="Loopback address to listen on.")] = "127.0.0.1",
    port: Annotated[int, PORT, Parameter(help="Port to listen on; 0 lets the system choose.")] = DEFAULT_PORT,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Serve the portal and the API, and run the jobs of the database, until Ctrl-C.

    Unfinished jobs are taken up at once.

    Example: `beacon serve --fleet fleet.yaml --port 8080`
    """
    return run_busy(_serve(host, port, fleet, database))


async def _serve(host: str, port: int, fleet: str | None, database: str | None) -> ExitCode:
    configure_logs()
    with listen(host, port) as listener:
        async with embedded(database, fleet) as house:
            Interruption(house.runner)
            print(f"Beacon is at {address(listener)} (Ctrl-C ends it)", file=sys.stderr, flush=True)
            await PortalServer(house, listener).run()
    return ExitCode.INTERRUPTED
