"""`beacon gateway`: the router as a service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from platformdirs import user_data_path

from beacon.cli.busy import run_busy
from beacon.cli.durations import seconds_of
from beacon.cli.embedded import opened_own_fleet
from beacon.cli.listening import address, listen
from beacon.cli.reloading import following
from beacon.cli.settings import PORT, FleetOption
from beacon.domain.clock import SystemClock
from beacon.errors import ExitCode
from beacon.gateway.keys import KEY_VARIABLE, Keys, read_keys
from beacon.gateway.service import Server, opened
from beacon.router.router import Router
from beacon.telemetry.logs import configure_logs

DEFAULT_PORT = 8200


def gateway(
    *,
    fleet: FleetOption = None,
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, PORT, Parameter(help="Port to listen on; 0 lets the system choose.")] = DEFAULT_PORT,
    state: Annotated[
        Path | None,
        Parameter(help="File for kept work and answers; default gateway.db in your data directory."),
    ] = None,
    keys: Annotated[Path | None, Parameter(help="File with the keys that may ask, one a line.")] = None,
    queue: Annotated[int, Parameter(help="How much kept work may wait for its turn; more is refused.")] = 10_000,
    keep: Annotated[str, Parameter(help="How long answers are kept after they are there.")] = "24h",
) -> int:
    """Serve the fleet to OpenAI clients and runners: one place for each provider's limits.

    Clients name the region in `X-Beacon-Region`, and send `Authorization: Bearer KEY` where BEACON_GATEWAY_KEY or
    --keys hold keys; without any, only loopback addresses are served.

    Example: `beacon gateway --fleet fleet.yaml --port 8200`
    """
    settings = Settings(
        fleet=fleet,
        state=state or user_data_path("beacon", ensure_exists=True) / "gateway.db",
        keys=read_keys(os.environ, keys),
        keep_s=seconds_of("--keep", keep),
        max_queued=queue,
    )
    configure_logs()
    todo = f"set {KEY_VARIABLE} to a long random key or name a file with --keys, or use 127.0.0.1"
    with listen(host, port, protected=bool(settings.keys), todo=todo) as listener:
        return run_busy(_serve(settings, listener))


@dataclass(frozen=True, slots=True)
class Settings:
    fleet: str | None
    state: Path
    keys: Keys
    keep_s: float
    max_queued: int


async def _serve(settings: Settings, listener: socket.socket) -> ExitCode:
    """Serves until Ctrl-C or SIGTERM."""
    clock = SystemClock()
    async with (
        opened_own_fleet(settings.fleet) as file,
        Router(file.fleet, base=file.base, environ=os.environ, clock=clock) as router,
        opened(
            router,
            settings.state,
            clock,
            keys=settings.keys,
            keep_s=settings.keep_s,
            max_queued=settings.max_queued,
        ) as gateway,
        following(router, file),
    ):
        server = Server(gateway)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        regions = ", ".join(file.fleet.regions)
        print(f"The gateway is at {address(listener)}/v1 and serves {regions}", file=sys.stderr, flush=True)
        await server.run_on(listener)
    return ExitCode.INTERRUPTED
