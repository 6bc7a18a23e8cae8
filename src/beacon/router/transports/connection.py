"""HTTP connections to one provider: no time-out of their own, no pool limit, kept alive, never retried."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

from aiohttp import (
    AddrInfoType,
    ClientConnectionResetError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import StreamWriter
from aiohttp.payload import BytesPayload

REUSE_IDLE_S = 1.5
"""An idle connection is used again within this time only, which is below the shortest keep-alive of common
servers (gunicorn's 2 s; uvicorn and llama.cpp have 5 s): a request written to a connection that the server
is just closing would leave its outcome unknown. No request ends because of it."""

FIRST_PAUSE_S = 0.1
"""Between two tries of what may be repeated; it doubles with each."""
LONGEST_PAUSE_S = 2.0
"""The longest of these pauses."""

KEEPALIVE_OPTIONS = {
    "TCP_KEEPIDLE": 30,  # seconds of silence before the first probe: below the idle limit of common NATs
    "TCP_KEEPINTVL": 15,
    "TCP_KEEPCNT": 127,  # the most there is: probes keep the way open, the deadline alone ends the wait
}


def open_session(headers: dict[str, str]) -> ClientSession:
    connector = TCPConnector(limit=0, keepalive_timeout=REUSE_IDLE_S, socket_factory=_open_socket)
    return ClientSession(
        connector=connector,
        headers=headers,
        timeout=ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        cookie_jar=DummyCookieJar(),
        trust_env=False,
    )


def pauses_between_tries() -> Iterator[float]:
    """Seconds between two tries of what may be repeated, doubling."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(LONGEST_PAUSE_S, 2 * pause)


def _open_socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    keep_alive(opened)
    return opened


def keep_alive(opened: socket.socket) -> None:
    """Probes a silent connection, so that the network does not forget it."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE_OPTIONS.items():
        option = getattr(socket, name, None)
        if option is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


class RequestBody(BytesPayload):
    """A JSON body that knows when it was handed to the connection: `sent_at`, None before.

    A request whose body was never handed over has certainly not been run by the provider.
    """

    def __init__(self, body: bytes, now: Callable[[], float]) -> None:
        super().__init__(body, content_type="application/json")
        self._now = now
        self.sent_at: float | None = None

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        transport = writer.transport if isinstance(writer, StreamWriter) else None
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("connection lost before the request was sent")
        self.sent_at = self._now()
        await super().write_with_length(writer, content_length)
