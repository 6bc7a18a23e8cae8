"""A TCP proxy that cuts connections as a test tells it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Cut:
    """When one connection is cut: after so many bytes to the server, to the client, or after so many seconds.

    `reset` cuts with RST in place of FIN; `silent` lets nothing through any more and says nothing.
    """

    up: int | None = None
    down: int | None = None
    seconds: float | None = None
    reset: bool = False
    silent: bool = False


class Proxy:
    """`cut_of` is asked for each connection by its number, from 1; None leaves it alone."""

    def __init__(self, target: str, cut_of: Callable[[int], Cut | None]) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._cut_of = cut_of
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.cuts = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        cut = self._cut_of(self.connections) or Cut()
        closing = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            closing.append(server_writer)
            over = asyncio.Event()
            pumps = [
                asyncio.create_task(self._pump(reader, server_writer, cut.up, cut, over)),
                asyncio.create_task(self._pump(server_reader, writer, cut.down, cut, over)),
            ]
            try:
                await asyncio.wait_for(over.wait(), cut.seconds)
            except TimeoutError:
                self.cuts += 1
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
            if cut.silent:
                await asyncio.Event().wait()
        except (OSError, asyncio.CancelledError):
            pass  # the test is over, or a side has gone
        finally:
            for each in closing:
                self._end(each, cut.reset)
            self._tasks.discard(task)

    async def _pump(self, source, sink, limit: int | None, cut: Cut, over: asyncio.Event) -> None:
        passed = 0
        try:
            while data := await source.read(65_536):
                if limit is not None and passed + len(data) >= limit:
                    sink.write(data[: limit - passed])
                    await sink.drain()
                    self.cuts += 1
                    break
                passed += len(data)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        over.set()

    @staticmethod
    def _end(writer: asyncio.StreamWriter, reset: bool) -> None:
        if reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async def end(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def cutting(target: str, cut_of: Callable[[int], Cut | None]) -> AsyncIterator[Proxy]:
    proxy = Proxy(target, cut_of)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    proxy.url = f"http://{host}:{port}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
        await server.wait_closed()
