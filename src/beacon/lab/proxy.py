"""The fault proxy: a TCP proxy in front of one server, which does to connections what its toxics say.

async with fault_proxy(url, [Toxic(kind="cut", idle=150)]) as proxy:
    ...  # ask proxy.url in place of url

Which connections are struck, and by how much, depends on the seed and the connection's number alone.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import cast
from urllib.parse import urlsplit

from beacon.domain.clock import SystemClock
from beacon.lab.draw import Draws
from beacon.lab.sockets import reset
from beacon.lab.toxics import Toxic

CHUNK = 65_536
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)")


class FaultProxy:
    """Use `fault_proxy`, or `start` and `stop`. `toxics` may be replaced; new connections get the new ones.

    `struck` counts by kind how often a toxic was carried out.
    """

    def __init__(self, target: str, toxics: Sequence[Toxic] = (), *, seed: int = 0) -> None:
        parts = urlsplit(target)
        self.toxics = tuple(toxics)
        self.connections = 0
        self.struck: Counter[str] = Counter()
        self.port = 0
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._path = parts.path
        self._seed = seed
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The target's URL with this proxy's address in it."""
        return f"http://127.0.0.1:{self.port}{self._path}"

    async def start(self, port: int = 0, backlog: int = 1024) -> None:
        """Raises OSError where the port cannot be had."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=backlog)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        draws = Draws(self._seed, "proxy", self.connections)
        toxics = [toxic for toxic in self.toxics if toxic.strikes(self.connections, draws)]
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await _Connection(reader, writer, toxics, draws, self.struck).carry(self._target)
        except (OSError, asyncio.CancelledError):
            pass  # a side has gone, or the proxy stops
        finally:
            writer.close()
            self._tasks.discard(task)


@asynccontextmanager
async def fault_proxy(target: str, toxics: Sequence[Toxic] = (), *, seed: int = 0) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target, toxics, seed=seed)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


class HttpMessage:
    """Where one HTTP/1.1 message ends (RFC 9112, section 6): `seen` is what came of it so far."""

    def __init__(self) -> None:
        self.seen = bytearray()

    def feed(self, data: bytes) -> bool:
        """Whether the message is whole with this. One whose end is the connection's counts as whole with its head."""
        self.seen += data
        head, end_of_head, body = bytes(self.seen).partition(b"\r\n\r\n")
        if not end_of_head:
            return False
        head = head.lower()
        if b"\r\ntransfer-encoding: chunked" in head:
            return body.endswith(b"0\r\n\r\n")
        length = _LENGTH.search(head)
        return length is None or len(body) >= int(length[1])


class _Connection:
    """One connection, with the toxics that struck it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        toxics: Sequence[Toxic],
        draws: Draws,
        struck: Counter[str],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._by_kind = {toxic.kind: toxic for toxic in toxics if toxic.kind != "cut"}
        self._cuts = [toxic for toxic in toxics if toxic.kind == "cut"]
        self._draws = draws
        self._struck = struck
        self._clock = SystemClock()
        self._moved_at = self._clock.monotonic()

    async def carry(self, target: tuple[str, int]) -> None:
        """Returns when the connection has ended. Raises OSError."""
        if self._strikes("black_hole"):
            while await self._reader.read(CHUNK):
                pass
            return
        if "reset_before" in self._by_kind:
            if await self._reader.read(1):
                self._reset("reset_before")
            return
        server_reader, server_writer = await asyncio.open_connection(*target)
        try:
            await self._between(server_reader, server_writer)
        finally:
            server_writer.close()

    async def _between(self, server_reader: asyncio.StreamReader, server_writer: asyncio.StreamWriter) -> None:
        """Carries bytes both ways until a side ends or a toxic ends the connection."""
        up = asyncio.create_task(self._up(server_writer))
        parts = [up, asyncio.create_task(self._down(server_reader))]
        parts += [asyncio.create_task(self._cut_in_time(cut)) for cut in self._cuts if cut.after_bytes is None]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        if self._struck_after(up):
            self._reset("reset_after")
            while await server_reader.read(CHUNK):  # the server goes on, and nobody hears it
                pass

    def _struck_after(self, up: asyncio.Task[bool]) -> bool:
        return not up.cancelled() and up.exception() is None and up.result()

    async def _up(self, server: asyncio.StreamWriter) -> bool:
        """Whether the server has a whole request, and the client is to be reset for it."""
        request = HttpMessage()
        while data := await self._reader.read(CHUNK):
            await self._pass(data, server)
            if "reset_after" in self._by_kind and request.feed(data):
                return True
        return False

    async def _down(self, server: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await self._down_to_its_end(server)
        if self._strikes("slow_close"):
            await asyncio.sleep(self._by_kind["slow_close"].seconds)

    async def _down_to_its_end(self, server: asyncio.StreamReader) -> None:
        response = HttpMessage()
        cut = next((cut for cut in self._cuts if cut.after_bytes is not None), None)
        while data := await server.read(CHUNK):
            whole = response.feed(data)
            if cut is not None and cut.after_bytes is not None and len(response.seen) > cut.after_bytes:
                await self._pass(data[: len(data) + cut.after_bytes - len(response.seen)], self._writer)
                self._end(cut)
                break
            if whole and self._strikes("duplicated"):
                data += bytes(response.seen)
            if whole:
                response = HttpMessage()
            await self._pass(data, self._writer)

    async def _pass(self, data: bytes, to: asyncio.StreamWriter) -> None:
        self._moved_at = self._clock.monotonic()
        latency = self._by_kind.get("latency")
        if latency is not None:
            self._struck["latency"] += 1
            await asyncio.sleep(latency.seconds + latency.jitter * self._draws.uniform())
        bandwidth = self._by_kind.get("bandwidth")
        if bandwidth is not None and bandwidth.bytes_per_second is not None:
            self._struck["bandwidth"] += 1
            await asyncio.sleep(len(data) / bandwidth.bytes_per_second)
        to.write(data)
        await to.drain()

    async def _cut_in_time(self, cut: Toxic) -> None:
        if cut.after is not None:
            await asyncio.sleep(cut.after)
        elif cut.idle is not None:
            while (left := self._moved_at + cut.idle - self._clock.monotonic()) > 0:
                await asyncio.sleep(left)
        self._end(cut)

    def _end(self, cut: Toxic) -> None:
        if cut.reset:
            self._reset("cut")
        else:
            self._struck["cut"] += 1
            self._writer.close()

    def _strikes(self, kind: str) -> bool:
        if kind not in self._by_kind:
            return False
        self._struck[kind] += 1
        return True

    def _reset(self, kind: str) -> None:
        self._struck[kind] += 1
        reset(cast(asyncio.Transport, self._writer.transport))
