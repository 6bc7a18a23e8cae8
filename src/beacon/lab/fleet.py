"""A running lab: one process a region, and the fleet that it is.

async with start_lab("default", regions=("us", "eu", "apac"), seed=7) as lab:
    router = Router(lab.fleet)
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

import yaml

import beacon
from beacon.domain.fleet import FLEET_SCHEMA, Cost, Fleet, Provider
from beacon.domain.regions import normalise
from beacon.errors import InputError, UnavailableError
from beacon.lab.behaviour import behaviour
from beacon.lab.world import World, read_world

REGIONS = ("us", "eu", "apac")
CONCURRENCY = 16
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class LabProcess:
    """One simulated provider, ready. `own_url`, without `/v1`, passes by the network that its world may have."""

    name: str
    region: str
    url: str
    pid: int
    own_url: str


class Lab:
    """The processes of one lab and what they were sent. `processes` are known once it is ready."""

    def __init__(self, world: World, seed: int, names: list[str], command: list[str], api_key_env: str | None) -> None:
        self.world = world
        self.seed = seed
        self.processes: list[LabProcess] = []
        self._names = names
        self._said = b""
        self._api_key_env = api_key_env
        self._host = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=_environment()
        )

    def wait_ready(self) -> None:
        """Raises InputError with what the processes found wrong, or UnavailableError."""
        until = time.monotonic() + READY_WITHIN_S
        for name in self._names:
            told = self._next_line(until)
            if "error" in told:
                raise InputError(**told["error"])
            if "url" not in told:
                code = self._host.poll()
                why = "did not say that it is ready" if code is None else f"ended with code {code}"
                raise UnavailableError(f"the lab {why}", where=name, todo="see its messages above")
            self.processes.append(LabProcess(name, told["region"], told["url"], told["pid"], told["own_url"]))

    def _next_line(self, until: float) -> dict[str, Any]:
        """What the host tells next; nothing if it says nothing until then (time.monotonic())."""
        output = cast(IO[bytes], self._host.stdout).fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._said:
                more = os.read(output, 4096) if selector.select(max(0.0, until - time.monotonic())) else b""
                if not more:
                    return {}
                self._said += more
        line, _, self._said = self._said.partition(b"\n")
        return cast(dict[str, Any], json.loads(line))

    def ended(self) -> list[LabProcess]:
        """The processes that are no more."""
        self._host.poll()
        return [process for process in self.processes if not _exists(process.pid)]

    def stop(self) -> None:
        """SIGTERM and the end of their input; then SIGKILL, by process id, to what is still there after a while."""
        self._host.terminate()
        cast(IO[bytes], self._host.stdin).close()
        try:
            self._host.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            for process in self.processes:
                if _exists(process.pid):
                    os.kill(process.pid, signal.SIGKILL)
            self._host.kill()
            self._host.wait()
        cast(IO[bytes], self._host.stdout).close()

    @property
    def fleet(self) -> Fleet:
        providers = (_provider(self.world, p.name, p.region, p.url, self._api_key_env) for p in self.processes)
        return Fleet(providers=tuple(providers))

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
        # Imported on demand: a client takes longer to load than all else here, and few ask.
        asking = import_module("beacon.lab.asking")
        answers: list[dict[str, Any]] = await asking.ask([p.own_url for p in self.processes], method, path)
        return answers


def unstarted_fleet(world: str = "default", *, regions: Sequence[str] = REGIONS) -> Fleet:
    """What the fleet of a lab would be, for planning; nothing listens at its addresses."""
    known = read_world(world)
    return Fleet(
        providers=tuple(_provider(known, f"lab-{region}", region, "http://127.0.0.1/v1") for region in regions)
    )


def _provider(world: World, name: str, region: str, url: str, api_key_env: str | None = None) -> Provider:
    scripted = [behaviour(world, region, model, None) for model in world.models]
    return Provider(
        name=name,
        region=region,
        transport="openai",
        url=url,
        api_key_env=api_key_env,
        models=dict(world.models),
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
    begun = _spawn(world, regions, seed, port, replicas, record, api_key_env)
    async with ready_lab(begun) as lab:
        yield lab


def begin_lab() -> Lab:
    """The built-in lab, which is loading: `ready_lab` waits for it. Raises nothing that a user could have caused."""
    return _spawn("default", REGIONS, seed=0, port=0, replicas=1, record=True, api_key_env=None)


@asynccontextmanager
async def ready_lab(begun: Lab) -> AsyncIterator[Lab]:
    """A lab that was begun, for as long as the block runs. Raises InputError and UnavailableError as `open_lab`."""
    try:
        await asyncio.to_thread(begun.wait_ready)
        yield begun
    finally:
        await asyncio.to_thread(begun.stop)


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
    command = [sys.executable, "-m", "beacon.lab.server", "--supervised"]
    command += ["--world", world, "--seed", str(seed), "--port", str(port)]
    command += [] if record else ["--no-record"]
    command += ["--api-key-env", api_key_env] if api_key_env else []
    providers = []
    for replica in range(1, replicas + 1):
        for region in names:
            command += ["--region", region]
            providers.append(f"lab-{region}" if replicas == 1 else f"lab-{region}-{replica}")
    return Lab(known, seed, providers, command, api_key_env)


def _environment() -> dict[str, str]:
    """The environment, with the place of this very beacon in front: it need not be installed."""
    here = str(Path(beacon.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
