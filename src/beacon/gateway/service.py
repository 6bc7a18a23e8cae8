"""A gateway opened and served: router, state file, mailbox and HTTP server, closed in order."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet
from beacon.errors import InputError
from beacon.gateway.about import About
from beacon.gateway.app import Gateway
from beacon.gateway.chat import Chat
from beacon.gateway.keys import Keys
from beacon.gateway.metrics import Metrics
from beacon.gateway.worker import RouterWorker
from beacon.mailbox.mailbox import Mailbox
from beacon.mailbox.state import open_state
from beacon.router.router import Router

GRACE_S = 2
"""How long open requests may delay the end of the server; kept work is left in the state file and taken up again."""
IDLE_S = 75
"""How long an idle connection of a client is kept open, above the idle limit of common clients (60 s and less)."""
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Opened:
    app: Gateway
    mailbox: Mailbox
    about: About


def check_fleet(fleet: Fleet) -> None:
    """Raises InputError for what a gateway cannot serve."""
    for provider in fleet.providers:
        if provider.transport in {"replay", "gateway"}:
            why = (
                "recorded answers need no gateway" if provider.replayed else "a gateway stands before no other gateway"
            )
            raise InputError(
                f"a gateway does not serve the transport {provider.transport}: {why}",
                where=f"provider {provider.name}",
                todo="leave it out of the gateway's fleet",
            )


@asynccontextmanager
async def opened(
    router: Router, state: Path, clock: Clock, *, keys: Keys, keep_s: float, max_queued: int
) -> AsyncIterator[Opened]:
    """The application over an open router. Raises InputError."""
    check_fleet(router.fleet)
    file = await open_state(state)
    try:
        metrics = Metrics(router)
        worker = RouterWorker(router, clock, metrics)
        async with Mailbox(file, worker, clock, keep_s=keep_s, max_queued=max_queued) as mailbox:
            chat = Chat(router, mailbox, worker, metrics, clock)
            about = About(router, mailbox, chat.reader)
            yield Opened(Gateway(chat, mailbox, about, metrics, keys), mailbox, about)
    finally:
        await file.close()


class Server(uvicorn.Server):
    """Leaves signals to the command that serves; long reads of the mailbox end when it does."""

    def __init__(self, gateway: Opened) -> None:
        super().__init__(
            uvicorn.Config(
                gateway.app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._gateway = gateway

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def run_on(self, listener: socket.socket) -> None:
        """Serves until `stop`."""
        await self.serve(sockets=[listener])

    def stop(self) -> None:
        self._gateway.about.stopping = True
        self._gateway.mailbox.close()
        self.should_exit = True
