"""HTTP/1.1 to one address with as little in between as can be: parsed by httptools, errors as aiohttp names them.

The way of most inferences. aiohttp's client, which does much that no inference needs (cookies, redirects, proxies,
tracing), took most of the router's time for each.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from typing import cast

import httptools
from aiohttp import (
    ClientConnectionResetError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientOSError,
    ClientPayloadError,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage, ContentEncodingError
from multidict import CIMultiDict
from yarl import URL

from beacon.router.transports.connection import REUSE_IDLE_S, keep_alive

MAX_HEAD_BYTES = 2**16
MAX_UNREAD_BYTES = 2**18
"""Of a body, before the connection is not read from until somebody has read it."""
_BODILESS = frozenset({204, 304})


class Outgoing:
    """A body on its way: `sent_at` is the moment at which it was handed to a connection, None before."""

    __slots__ = ("data", "sent_at")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sent_at: float | None = None


class Poster:
    """Connections to the address of `url`, to which every request is posted. Each waits on a connection of its own."""

    def __init__(self, url: URL, headers: Mapping[str, str], now: Callable[[], float]) -> None:
        self._url = url
        self._now = now
        self._ssl = ssl.create_default_context() if url.scheme == "https" else None
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()
        host = url.host_port_subcomponent or ""
        lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {host}", "Accept: */*", "Content-Type: application/json"]
        self._head = "\r\n".join(lines + _fields(headers)) + "\r\n"

    def close(self) -> None:
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()

    async def post(self, body: Outgoing, headers: Mapping[str, str]) -> Posted:
        """The response as soon as its head is there. Raises ClientError or HttpProcessingError."""
        connection = self._reusable() or await self._connect()
        more = "\r\n".join([*_fields(headers), f"Content-Length: {len(body.data)}", "", ""])
        response = connection.ask((self._head + more).encode("latin-1") + body.data)
        body.sent_at = self._now()
        try:
            await response.head()
        except BaseException:
            connection.abort()
            raise
        return response

    def _reusable(self) -> _Connection | None:
        """One that was used lately, is open, and holds nothing that nobody asked for."""
        while self._idle:
            connection = self._idle.pop()
            if self._now() - connection.idle_since <= REUSE_IDLE_S and connection.quiet():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        url, loop = self._url, asyncio.get_running_loop()
        host, port = url.host or "", url.port or 80
        try:
            transport, connection = await loop.create_connection(
                lambda: _Connection(self._ended, self._lost), host, port, ssl=self._ssl
            )
        except socket.gaierror as error:
            raise ClientConnectorDNSError(self._connection_key(), error) from error
        except ssl.CertificateError as error:
            raise ClientConnectorCertificateError(self._connection_key(), error) from error
        except ssl.SSLError as error:
            raise ClientConnectorSSLError(self._connection_key(), error) from error
        except OSError as error:
            raise ClientConnectorError(self._connection_key(), error) from error
        keep_alive(transport.get_extra_info("socket"))
        self._open.add(connection)
        return connection

    def _connection_key(self) -> ConnectionKey:
        url = self._url
        return ConnectionKey(url.host or "", url.port, self._ssl is not None, True, None, None, None)

    def _ended(self, connection: _Connection, reusable: bool) -> None:
        """Its response is whole."""
        if reusable:
            connection.idle_since = self._now()
            self._idle.append(connection)
            if len(self._idle) > 1 and self._now() - self._idle[0].idle_since > REUSE_IDLE_S:
                self._idle.pop(0).abort()
        else:
            connection.abort()

    def _lost(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class Posted:
    """As much of aiohttp's `ClientResponse` as an exchange needs; its content is the response itself."""

    __slots__ = (
        "_complete", "_connection", "_error", "_inflate", "_on_eof", "_parts", "_unread", "_unreadable", "_waiter",
        "headers", "status",
    )  # fmt: skip

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self._unread = 0
        self._complete = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_eof: Callable[[], object] | None = None
        self._inflate: zlib._Decompress | None = None
        self._unreadable: str | None = None
        self.status = 0
        self.headers: CIMultiDict[str] = CIMultiDict()

    @property
    def content(self) -> Posted:
        return self

    async def head(self) -> None:
        while self.status == 0:
            if self._error is not None:
                raise self._error
            await self._news()

    async def readany(self) -> bytes:
        """What has come, at least a byte; nothing at the end. Raises ClientPayloadError where that is not whole."""
        if self._unreadable is not None:
            raise ClientPayloadError(self._unreadable) from ContentEncodingError(self._unreadable)
        while not self._parts:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._news()
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        self._connection.resume()
        if self._inflate is None:
            return data
        try:
            return self._inflate.decompress(data) or await self.readany()
        except zlib.error as error:
            raise ClientPayloadError("its encoding is broken") from ContentEncodingError(str(error))

    def is_eof(self) -> bool:
        return self._complete

    def on_eof(self, callback: Callable[[], object]) -> None:
        if self._complete or self._error is not None:
            callback()
        else:
            self._on_eof = callback

    def close(self) -> None:
        """Gives it up, with its connection unless that is free already."""
        if not self._complete:
            self._connection.abort()

    async def _news(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the connection tells.

    def begin(self, status: int, headers: CIMultiDict[str]) -> None:
        encoding = headers.get("Content-Encoding", "identity").strip().lower()
        if encoding in {"gzip", "deflate"}:
            self._inflate = zlib.decompressobj(47 if encoding == "gzip" else 15)
        elif encoding != "identity":
            self._unreadable = f"an encoding that was not asked for, {encoding[:40]}"
        self.status, self.headers = status, headers
        self._wake()

    def take(self, part: bytes) -> None:
        self._parts.append(part)
        self._unread += len(part)
        if self._unread > MAX_UNREAD_BYTES:
            self._connection.pause()
        self._wake()

    def complete(self) -> None:
        self._complete = True
        self._end()

    def fail(self, error: Exception) -> None:
        if not self._complete and self._error is None:
            self._error = error
            self._end()

    def _end(self) -> None:
        self._wake()
        if self._on_eof is not None:
            self._on_eof()
            self._on_eof = None


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, ended: Callable[[_Connection, bool], None], lost: Callable[[_Connection], None]) -> None:
        self._ended = ended
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._response: Posted | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._head_bytes = 0
        self._status = 0
        self._paused = False
        self._unasked = False
        self.idle_since = 0.0
        self._poll = select.poll()

    def ask(self, request: bytes) -> Posted:
        """Raises ClientConnectionResetError where it is closed: nothing was sent."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("connection lost before the request was sent")
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = self._status = 0
        response = self._response = Posted(self)
        transport.write(request)
        return response

    def quiet(self) -> bool:
        """Open, and with nothing to be read: what came unasked answers something else, and an end cannot be used."""
        transport = self._transport
        return transport is not None and not transport.is_closing() and not self._poll.poll(0)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLHUP)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None or self._parser is None:
            self.abort()  # it answers what nobody asked
            return
        if self._status == 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._break(response, BadHttpMessage("an upgrade that was not asked for"))
        except httptools.HttpParserError as error:
            self._break(response, BadHttpMessage(str(error)))
        if self._unasked:
            self.abort()
        if self._status == 0 and self._head_bytes > MAX_HEAD_BYTES:
            self._break(response, BadHttpMessage(f"more than {MAX_HEAD_BYTES} bytes of headers"))

    def eof_received(self) -> None:
        """A body without a length ends with its connection."""
        response = self._response
        if response is not None and self._status and self._until_eof():
            self._response = None
            response.complete()

    def connection_lost(self, error: Exception | None) -> None:
        response, self._response = self._response, None
        if response is not None:
            if self._status:
                why = "the connection was closed within the answer" if error is None else str(error)
                response.fail(ClientPayloadError(why))
            elif isinstance(error, OSError):
                response.fail(ClientOSError(error.errno, error.strerror))
            else:
                response.fail(ServerDisconnectedError())
        self._lost(self)

    def _until_eof(self) -> bool:
        headers = self._headers
        return "Content-Length" not in headers and "Transfer-Encoding" not in headers

    def _break(self, response: Posted, error: Exception) -> None:
        self._response = None
        response.fail(error)
        self.abort()

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._headers = CIMultiDict()
        self._unasked = self._response is None

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1"), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if self._response is not None and status >= 200:  # what comes before is no answer yet
            self._status = status
            self._response.begin(status, self._headers)

    def on_body(self, part: bytes) -> None:
        if self._response is not None and self._status:
            self._response.take(part)

    def on_message_complete(self) -> None:
        response = self._response
        if response is None or not self._status:
            return
        assert self._parser is not None
        reusable = self._parser.should_keep_alive() and not (self._until_eof() and self._status not in _BODILESS)
        self._response = None
        response.complete()
        self._ended(self, reusable)


def _fields(headers: Mapping[str, str]) -> list[str]:
    """Raises ValueError for a value that would end its field."""
    for value in headers.values():
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError("a header's value holds a line break")
    return [f"{name}: {value}" for name, value in headers.items()]
