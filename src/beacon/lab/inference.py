"""Real inference servers on this machine, one a region: foreign OpenAI-compatible endpoints, nothing simulated."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from beacon.domain.fleet import Fleet, Provider
from beacon.errors import UnavailableError

READY_WITHIN_S = 120.0
SLOTS = 2


@asynccontextmanager
async def start_inference(models: Mapping[str, Path], name: str) -> AsyncIterator[Fleet]:
    """A fleet of one provider a region; `models` says which model file each region serves as model `name`.

    Raises UnavailableError where a server does not come up.
    """
    processes: list[Process] = []
    try:
        providers = []
        for region, model in models.items():
            process = await _spawn(model, name)
            processes.append(process)
            providers.append((region, process))
        urls = await asyncio.gather(*(_ready(region, process) for region, process in providers))
        yield Fleet(providers=tuple(_provider(region, url, name) for region, url in zip(models, urls, strict=True)))
    finally:
        await asyncio.gather(*(_stop(process) for process in processes))


async def _spawn(model: Path, name: str) -> Process:
    command = [sys.executable, "-m", "beacon.lab.inference_server", str(model), str(_free_port()), name]
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
    )


async def _ready(region: str, process: Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while line := await process.stdout.readline():
                if line.startswith(b'{"url"'):
                    return str(json.loads(line)["url"])
    except TimeoutError:
        pass
    raise UnavailableError(
        f"the inference server of region {region} did not come up",
        where="python -m beacon.lab.inference_server",
        todo="run that module by hand to see its messages",
    )


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _provider(region: str, url: str, name: str) -> Provider:
    return Provider(
        name=f"local-{region}", region=region, transport="openai", url=url, models={name: name}, concurrency=SLOTS
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
