"""Whether a request was handed over decides whether the provider may have run it."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientConnectionResetError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter

from beacon.router.transports.connection import RequestBody


class Wire(asyncio.Transport):
    def __init__(self, *, closing: bool) -> None:
        super().__init__()
        self.written = b""
        self._closing = closing

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


async def writer_over(wire: Wire) -> StreamWriter:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.transport = wire
    return StreamWriter(protocol, loop)


async def test_a_body_on_an_open_connection_is_handed_over() -> None:
    wire, body = Wire(closing=False), RequestBody(b"{}", lambda: 7.0)
    assert body.sent_at is None
    await body.write_with_length(await writer_over(wire), 2)
    assert (body.sent_at, wire.written) == (7.0, b"{}")


async def test_a_body_on_a_connection_that_was_lost_before_is_not() -> None:
    wire, body = Wire(closing=True), RequestBody(b"{}", lambda: 7.0)
    with pytest.raises(ClientConnectionResetError):
        await body.write_with_length(await writer_over(wire), 2)
    assert (body.sent_at, wire.written) == (None, b"")
