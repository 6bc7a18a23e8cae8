"""A gate before a database server: closed it refuses and breaks connections, silent it lets nothing through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import psycopg
from sqlalchemy.engine import make_url


class Gate:
    """`cut_when` is asked of every piece that a client sends: where it is true, the piece is delivered, and the
    connection cut before anything comes back."""

    def __init__(self, target: str) -> None:
        self._target = psycopg.conninfo.conninfo_to_dict(target)
        self._address = make_url(target)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._through = asyncio.Event()
        self._through.set()
        self.cut_when: Callable[[bytes], bool] = lambda _: False
        self.cuts = 0

    @property
    def url(self) -> str:
        """The database behind the gate, by way of it."""
        return self._address.set(host="127.0.0.1", port=self._port, query={}).render_as_string(hide_password=False)

    async def open(self) -> None:
        self._through.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """All connections die, and no new one is taken."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.break_all()

    async def break_all(self) -> None:
        """All connections die, as in a failover; new ones are taken."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hush(self) -> None:
        """Nothing passes, and nobody is told."""
        self._through.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        writers = [writer]
        try:
            up_reader, up_writer = await self._connect()
            writers.append(up_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, up_writer, self._cuts))
                pumps.create_task(self._pump(up_reader, writer, lambda _: False))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass  # a side has gone, or the gate was closed
        finally:
            for each in writers:
                each.transport.abort()
            self._tasks.discard(task)

    def _cuts(self, piece: bytes) -> bool:
        if self.cut_when(piece):
            self.cuts += 1
            return True
        return False

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target.get("host", "127.0.0.1"), int(self._target.get("port", 5432))
        if str(host).startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cuts: Callable[[bytes], bool]
    ) -> None:
        while piece := await source.read(1 << 20):
            await self._through.wait()
            cut = cuts(piece)
            sink.write(piece)
            await sink.drain()
            if cut:
                break
        raise ConnectionResetError


@asynccontextmanager
async def gate_before(target: str) -> AsyncIterator[Gate]:
    gate = Gate(target)
    await gate.open()
    try:
        yield gate
    finally:
        gate._through.set()
        with suppress(OSError):
            await gate.close()
