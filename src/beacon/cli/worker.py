"""`beacon worker`: drives shards of the jobs of a PostgreSQL database, beside any number of others."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter, validators

from beacon.cli.busy import run_busy
from beacon.cli.embedded import Interruption, embedded
from beacon.cli.opening import START_S
from beacon.cli.settings import DatabaseOption, FleetOption, database_file, database_url
from beacon.domain.regions import resolve
from beacon.errors import ExitCode, InputError
from beacon.runner.owner import LEASE_S
from beacon.runner.worker import CONCURRENCY, SWEEP_S, Worker
from beacon.telemetry.logs import configure_logs


def worker(
    *,
    region: Annotated[
        tuple[str, ...], Parameter(negative="", help="Serve this region only; may be given several times.")
    ] = (),
    concurrency: Annotated[
        int, Parameter(validator=validators.Number(gte=1), help="Shards at once in each region.")
    ] = CONCURRENCY,
    lease: Annotated[
        float,
        Parameter(
            validator=validators.Number(gte=4),
            help=f"Seconds; a worker that dies is replaced within this time and {SWEEP_S:g} s more.",
        ),
    ] = LEASE_S,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
) -> int:
    """Drive the jobs of a PostgreSQL database, shard by shard, beside any number of other workers.

    Ctrl-C and SIGTERM give back what is under way; other workers go on with it at once. A worker that found its shard
    taken over, because it stood still for too long, ends with 75: have it started again.

    Example: `beacon worker --database postgresql://beacon@db/beacon --fleet fleet.yaml --region eu`
    """
    url = database_url(database)
    if database_file(url) is not None or not url.startswith("postgres"):
        raise InputError(
            "workers need a PostgreSQL database",
            where="--database",
            todo="name one (postgresql://USER@HOST/DATABASE), or use `beacon serve`, which drives jobs itself",
        )
    return run_busy(_work(url, fleet, region, concurrency, lease))


async def _work(url: str, fleet: str | None, wanted: tuple[str, ...], concurrency: int, lease_s: float) -> ExitCode:
    configure_logs()
    async with embedded(url, fleet, lease_s=lease_s, waits_s=START_S, hold_s=None) as house:
        worker = Worker(house.runner, _regions(wanted, house.fleet.regions), concurrency)
        Interruption(worker)
        print(f"Worker for {', '.join(sorted(worker.regions))} is up (Ctrl-C ends it)", file=sys.stderr, flush=True)
        await worker.run()
    return ExitCode.INTERRUPTED


def _regions(wanted: tuple[str, ...], served: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical and served by the fleet. Raises InputError."""
    return tuple(dict.fromkeys(resolve(region, served) for region in wanted))
