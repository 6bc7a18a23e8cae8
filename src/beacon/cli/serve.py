"""`beacon serve`: the portal, the API and a runner in one process."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.busy import run_busy
from beacon.cli.embedded import Interruption, embedded
from beacon.cli.listening import address, listen
from beacon.cli.opening import START_S
from beacon.cli.serving import PortalServer
from beacon.cli.settings import PORT, DatabaseOption, FleetOption
from beacon.errors import ExitCode, InputError
from beacon.telemetry.logs import configure_logs
from beacon.web.access import KEY_VARIABLE, Key, read_portal_keys

DEFAULT_PORT = 8080


def serve(
    *,
    host: Annotated[str, Parameter(help="Address to listen on; beyond loopback only with keys.")] = "127.0.0.1",
    port: Annotated[int, PORT, Parameter(help="Port to listen on; 0 lets the system choose.")] = DEFAULT_PORT,
    keys: Annotated[Path | None, Parameter(help="File with who may use it: ROLE NAME KEY a line.")] = None,
    name: Annotated[
        tuple[str, ...], Parameter(negative="", help="Name by which others address it; may be given several times.")
    ] = (),
    public: Annotated[bool, Parameter(negative="", help="Let those without a key read everything.")] = False,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Serve the portal and the API, and run the jobs of the database, until Ctrl-C.

    Unfinished jobs are taken up at once. The variable BEACON_PORTAL_KEY (an operator's key) and the file of --keys
    (roles: viewer, submitter, operator) say who may use it; without any, whoever reaches it may do everything, and
    only loopback addresses are served. Beyond loopback put a proxy with TLS before it, and say its name with --name.

    Example: `beacon serve --fleet fleet.yaml --port 8080`
    """
    known = read_portal_keys(os.environ, keys)
    if public and not known:
        raise InputError("without keys everybody may do everything", where="--public", todo="name --keys too")
    todo = f"set {KEY_VARIABLE} to a long random key or name a file with --keys, or use 127.0.0.1"
    with listen(host, port, protected=bool(known), todo=todo) as listener:
        return run_busy(_serve(listener, known, public, {host, *name}, fleet, database))


async def _serve(
    listener: socket.socket,
    keys: Sequence[Key],
    public: bool,
    names: Collection[str],
    fleet: str | None,
    database: str | None,
) -> ExitCode:
    configure_logs()
    async with embedded(database, fleet, waits_s=START_S, hold_s=None) as house:
        Interruption(house.runner)
        print(f"Beacon is at {address(listener)} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        await PortalServer(house, listener, keys=keys, public=public, names=names).run()
    return ExitCode.INTERRUPTED
