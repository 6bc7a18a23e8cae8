"""A running lab: one process a region, and the fleet that it is.

async with start_lab("default", regions=("us", "eu", "apac"), seed=7) as lab:
    router = Router(lab.fleet)
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import IO, Any, cast
from urllib.parse import urlsplit

import aiohttp
import yaml

from beacon.domain.fleet import FLEET_SCHEMA, Cost, Fleet, Provider
from beacon.domain.regions import normalise
from beacon.errors import InputError, UnavailableError
from beacon.lab.behaviour import behaviour
from beacon.lab.world import World, read_world

REGIONS = ("us", "eu", "apac")
CONCURRENCY = 16
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 3.0


class LabProcess:
    """One simulated provider in a process of its own; `url` is known once it is ready."""

    def __init__(self, name: str, region: str, command: list[str]) -> None:
        self.name = name
        self.region = region
        self.url = ""
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=_environment()
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, until: float) -> None:
        """`until` is a moment of time.monotonic(). Raises InputError with what the process found wrong."""
        output = cast(IO[bytes], self._process.stdout)
        readable, _, _ = select.select([output], [], [], max(0.0, until - time.monotonic()))
        line = output.readline() if readable else b""
        told = json.loads(line) if line.endswith(b"\n") else {}
        if "error" in told:
            raise InputError(**told["error"])
        if "url" not in told:
            why = "did not say that it is ready" if self.alive else f"ended with code {self._process.wait()}"
            raise UnavailableError(f"the lab's process {why}", where=self.name, todo="see its messages above")
        self.url = str(told["url"])

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def stop(self, until: float) -> None:
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Lab:
    """The processes of one lab and what they were sent."""

    def __init__(self, world: World, seed: int, processes: list[LabProcess], api_key_env: str | None) -> None:
        self.world = world
        self.seed = seed
        self.processes = processes
        self._api_key_env = api_key_env

    def wait_ready(self) -> None:
        until = time.monotonic() + READY_WITHIN_S
        for process in self.processes:
            process.wait_ready(until)

    def stop(self) -> None:
        """SIGTERM to all, then SIGKILL to those that are still there; returns when all are gone."""
        for process in self.processes:
            process.ask_to_stop()
        until = time.monotonic() + STOP_WITHIN_S
        for process in self.processes:
            process.stop(until)

    @property
    def fleet(self) -> Fleet:
        return Fleet(providers=tuple(self._provider(process) for process in self.processes))

    def fleet_yaml(self) -> str:
        """The fleet as a file that `--fleet` takes; it holds as long as the lab runs."""
        providers = [
            provider.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"simulated": True}
            for provider in self.fleet.providers
        ]
        return yaml.safe_dump({"schema": FLEET_SCHEMA, "providers": providers}, sort_keys=False, width=110)

    def url(self, region: str) -> str:
        """The address of the region's first provider, without `/v1`."""
        return next(_root(process.url) for process in self.processes if process.region == region)

    async def requests(self) -> list[dict[str, Any]]:
        """`GET /lab/requests` of every provider: the rows of all, as they came in at each."""
        return [row for dump in await self._ask("GET", "/lab/requests") for row in dump["requests"]]

    async def key_counts(self) -> dict[str, int]:
        """How many requests came in under each `X-Beacon-Key`, over all providers."""
        counts: dict[str, int] = {}
        for dump in await self._ask("GET", "/lab/requests"):
            for key, count in dump["keys"].items():
                counts[key] = counts.get(key, 0) + count
        return counts

    async def stats(self) -> list[dict[str, Any]]:
        return await self._ask("GET", "/lab/stats")

    async def reset(self) -> None:
        await self._ask("POST", "/lab/reset")

    async def _ask(self, method: str, path: str) -> list[dict[str, Any]]:
        answers = []
        async with aiohttp.ClientSession() as session:
            for process in self.processes:
                async with session.request(method, _root(process.url) + path) as response:
                    response.raise_for_status()
                    answers.append(await response.json())
        return answers

    def _provider(self, process: LabProcess) -> Provider:
        scripted = [behaviour(self.world, process.region, model, None) for model in self.world.models]
        return Provider(
            name=process.name,
            region=process.region,
            transport="openai",
            url=process.url,
            api_key_env=self._api_key_env,
            models=dict(self.world.models),
            concurrency=CONCURRENCY,
            region_header="X-Region",
            upstream_header="X-Upstream",
            cold_start=max(acts.cold_start.seconds if acts.cold_start else 0.0 for acts in scripted),
            cost=Cost(input_per_mtok=0.0, output_per_mtok=0.0),
            simulated=True,
        )


@contextmanager
def open_lab(
    world: str = "default",
    *,
    regions: Sequence[str] = REGIONS,
    seed: int = 0,
    port: int = 0,
    replicas: int = 1,
    record: bool = True,
    api_key_env: str | None = None,
) -> Iterator[Lab]:
    """A lab for as long as the block runs.

    `world` is a built-in one or a file; `port` the first of as many as there are providers, 0 for free ones;
    `replicas` the number of providers a region, each with draws of its own. Raises InputError (a busy port, a
    bad world or region) and UnavailableError.
    """
    lab = _spawn(world, regions, seed, port, replicas, record, api_key_env)
    try:
        lab.wait_ready()
        yield lab
    finally:
        lab.stop()


@asynccontextmanager
async def start_lab(
    world: str = "default",
    *,
    regions: Sequence[str] = REGIONS,
    seed: int = 0,
    port: int = 0,
    replicas: int = 1,
    record: bool = True,
    api_key_env: str | None = None,
) -> AsyncIterator[Lab]:
    """`open_lab` that does not hold up the event loop."""
    lab = _spawn(world, regions, seed, port, replicas, record, api_key_env)
    try:
        await asyncio.to_thread(lab.wait_ready)
        yield lab
    finally:
        await asyncio.to_thread(lab.stop)


def _spawn(
    world: str,
    regions: Sequence[str],
    seed: int,
    port: int,
    replicas: int,
    record: bool,
    api_key_env: str | None,
) -> Lab:
    known = read_world(world)
    names = [normalise(region) for region in regions]
    if not names:
        raise InputError("a lab needs at least one region", where="--regions")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"region {name!r} stands twice", where="--regions", todo="keep one")
    count = len(names) * replicas
    if port and port + count - 1 > 65_535:
        raise InputError(f"{count} providers from port {port} on would pass 65535", where="--port")
    lab = Lab(known, seed, [], api_key_env)
    for index in range(count):
        region, replica = names[index % len(names)], index // len(names)
        command = [sys.executable, "-m", "beacon.lab.server", "--supervised", "--region", region]
        command += ["--world", world, "--seed", str(_replica_seed(seed, replica))]
        command += ["--port", str(port + index if port else 0)]
        command += [] if record else ["--no-record"]
        command += ["--api-key-env", api_key_env] if api_key_env else []
        name = f"lab-{region}" if replicas == 1 else f"lab-{region}-{replica + 1}"
        lab.processes.append(LabProcess(name, region, command))
    return lab


def _replica_seed(seed: int, replica: int) -> int:
    """Replicas of a region must not give the same answers: a repeat would count twice."""
    return seed if replica == 0 else seed + replica * 1_000_000_007


def _environment() -> dict[str, str]:
    """The environment, with the places from which this process imports: beacon need not be installed."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
