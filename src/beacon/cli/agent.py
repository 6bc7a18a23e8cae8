"""`beacon agent`: a mailbox in front of an inference server, so that no finished answer is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from aiohttp import web
from cyclopts import Parameter

from beacon.agent.served import Served
from beacon.agent.server import create_app
from beacon.agent.upstream import Upstream
from beacon.agent.worker import InferenceServer
from beacon.cli.durations import seconds_of
from beacon.cli.listening import address, listen
from beacon.cli.settings import PORT
from beacon.domain.clock import SystemClock
from beacon.domain.regions import normalise
from beacon.errors import ExitCode, InputError
from beacon.mailbox.mailbox import Mailbox
from beacon.mailbox.state import open_state
from beacon.telemetry.logs import configure_logs

DEFAULT_PORT = 8100
KEY_VARIABLE = "BEACON_AGENT_KEY"
UPSTREAM_KEY_VARIABLE = "BEACON_AGENT_UPSTREAM_KEY"
GRACE_S = 1.0
"""How long open requests may delay the end of the server; long reads end at once."""


def agent(
    *,
    region: Annotated[str, Parameter(help="The region that this machine stands in.")],
    upstream: Annotated[str, Parameter(help="The inference server's OpenAI-compatible API, up to and with /v1.")],
    state: Annotated[Path, Parameter(help="File for accepted work and answers; made if it is not there.")],
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, PORT, Parameter(help="Port to listen on; 0 lets the system choose.")] = DEFAULT_PORT,
    concurrency: Annotated[int, Parameter(help="Inferences at the inference server at once.")] = 8,
    queue: Annotated[int, Parameter(help="How much work may wait for its turn; more is refused.")] = 1000,
    keep: Annotated[str, Parameter(help="How long answers are kept after they are there.")] = "24h",
    model: Annotated[
        tuple[str, ...],
        Parameter(
            help="A model served, as NAME or NAME=UPSTREAM_NAME; may be given several times. "
            "Default: what the inference server lists."
        ),
    ] = (),
) -> int:
    """Keep a mailbox in front of an inference server: work is accepted once by its key, and its answer kept.

    Clients must send `Authorization: Bearer KEY` where BEACON_AGENT_KEY holds a key; without one, only
    loopback addresses are served. BEACON_AGENT_UPSTREAM_KEY holds the inference server's key, if it has one.

    Example: `beacon agent --region eu --upstream http://127.0.0.1:8000/v1 --state agent.db`
    """
    settings = Settings(
        region=normalise(region),
        upstream=_http(upstream),
        state=state,
        concurrency=_at_least("--concurrency", 1, concurrency),
        max_queued=_at_least("--queue", 0, queue),
        keep_s=seconds_of("--keep", keep),
        models=_names(model),
        key=os.environ.get(KEY_VARIABLE, "").strip() or None,
        upstream_key=os.environ.get(UPSTREAM_KEY_VARIABLE, "").strip() or None,
    )
    configure_logs()
    todo = f"set {KEY_VARIABLE} to a long random key, or use 127.0.0.1"
    with listen(host, port, protected=settings.key is not None, todo=todo) as listener:
        return asyncio.run(_serve(settings, listener))


@dataclass(frozen=True, slots=True)
class Settings:
    region: str
    upstream: str
    state: Path
    concurrency: int
    max_queued: int
    keep_s: float
    models: Mapping[str, str]
    key: str | None = field(repr=False)
    upstream_key: str | None = field(repr=False)


async def _serve(settings: Settings, listener: socket.socket) -> ExitCode:
    """Serves until Ctrl-C or SIGTERM."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    clock = SystemClock()
    state = await open_state(settings.state)
    try:
        async with Upstream(settings.upstream, settings.upstream_key, clock) as upstream:
            served = Served(settings.region, settings.models, upstream)
            await served.look()
            server = InferenceServer(served, upstream, settings.concurrency)
            async with Mailbox(state, server, clock, keep_s=settings.keep_s, max_queued=settings.max_queued) as mailbox:
                app = create_app(mailbox, server, settings.key)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=GRACE_S)
                await runner.setup()
                await web.SockSite(runner, listener).start()
                _tell(served, listener)
                await stopping.wait()
                mailbox.close()
                await runner.cleanup()
    finally:
        await state.close()
    return ExitCode.INTERRUPTED


def _tell(served: Served, listener: socket.socket) -> None:
    names = ", ".join(served.models) or f"no models yet ({served.not_listed_why or 'the inference server lists none'})"
    print(f"The agent of {served.region} is at {address(listener)}/v1 and serves {names}", file=sys.stderr, flush=True)


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "@" in parts.netloc:
        todo = "write for example http://127.0.0.1:8000/v1"
        raise InputError("not an http(s) address without credentials or query", where="--upstream", todo=todo)
    return url


def _at_least(option: str, least: int, given: int) -> int:
    if given < least:
        raise InputError(f"must be at least {least}, found {given}", where=option)
    return given


def _names(given: Sequence[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in given:
        name, _, upstream = text.partition("=")
        if not name or ("=" in text and not upstream):
            raise InputError(f"not a model: {text!r}", where="--model", todo="write NAME or NAME=UPSTREAM_NAME")
        if name in named:
            raise InputError(f"model {name!r} stands twice", where="--model", todo="keep one of the two")
        named[name] = upstream or name
    return named
