"""The poster: what servers put into HTTP/1.1, well and badly, byte by byte."""

import asyncio
import gzip
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientConnectorError, ClientError, ClientPayloadError, ServerDisconnectedError
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from beacon.domain.clock import SystemClock
from beacon.router.transports.posting import Outgoing, Poster

NOW = SystemClock().monotonic
BODY = b'{"answer": 1}'
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n" + BODY


class Server:
    """Answers the n-th request over all connections with the n-th of `answers`; None closes the connection."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.connections = 0
        self.requests = []
        self.closed = asyncio.Event()

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while self.answers:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                for part in answer if isinstance(answer, list) else [answer]:
                    if part is None:
                        return
                    writer.write(part)
                    await writer.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the test is over, or the wire has gone
        finally:
            writer.close()
            self.closed.set()


@asynccontextmanager
async def wired(*answers, **headers):
    server = Server(*answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    wire = Poster(URL(f"http://127.0.0.1:{port}/v1/x?y=1"), headers, NOW)
    try:
        yield wire, server
    finally:
        wire.close()
        listening.close()
        await listening.wait_closed()


async def ask(wire, data=b"{}", **headers):
    response = await wire.post(Outgoing(data), headers)
    return response.status, await read_all(response)


async def read_all(response):
    body = b""
    while part := await response.content.readany():
        body += part
    return body


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n"
    + BODY[:6]
    + b"\r\n7\r\n"
    + BODY[6:]
    + b"\r\n0\r\n\r\n"
)
PACKED = gzip.compress(BODY)
FORMS = {
    "with a length": WHOLE,
    "chunked": CHUNKED,
    "byte by byte": [bytes([each]) for each in CHUNKED],
    "until the end of the connection": [b"HTTP/1.1 200 OK\r\n\r\n" + BODY, None],
    "after what is no answer yet": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE,
    "packed unasked": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
}


@pytest.mark.parametrize("answer", FORMS.values(), ids=FORMS)
async def test_every_form_of_a_whole_body_is_read(answer):
    async with wired(answer) as (wire, _):
        assert await ask(wire) == (200, BODY)


async def test_a_request_is_what_was_said():
    async with wired(WHOLE, Authorization="Bearer k") as (wire, server):
        await ask(wire, b"[1]", **{"X-Beacon-Key": "k.1"})
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert {b"Authorization: Bearer k", b"X-Beacon-Key: k.1", b"Content-Length: 3"} <= set(head.split(b"\r\n"))
        assert body == b"[1]"
        with pytest.raises(ValueError, match="line break"):
            await ask(wire, **{"X-Beacon-Key": "k\r\nX-Evil: 1"})


async def test_a_connection_is_used_again_after_a_whole_answer_alone():
    async with wired(WHOLE, CHUNKED, WHOLE.replace(b"OK", b"OK\r\nConnection: close"), WHOLE) as (wire, server):
        for _ in range(4):
            assert await ask(wire) == (200, BODY)
        assert server.connections == 2


async def test_what_came_unasked_answers_nothing():
    """A second answer to the first request lies in the socket when the second is about to be sent."""
    other = WHOLE.replace(b'"answer": 1', b'"answer": 0')
    async with wired([WHOLE, other], WHOLE) as (wire, server):
        assert await ask(wire) == (200, BODY)
        assert await ask(wire) == (200, BODY)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, ServerDisconnectedError),
        ([b"HTTP/1.1 200 OK\r\nContent-Le", None], ServerDisconnectedError),
        ([WHOLE[:-2], None], ClientPayloadError),
        ([CHUNKED[:-5], None], ClientPayloadError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", HttpProcessingError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, HttpProcessingError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HttpProcessingError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", ClientPayloadError),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx", ClientPayloadError),
    ],
    ids=["closed", "head", "body", "chunk", "no HTTP", "endless head", "two lengths", "br", "no gzip"],
)
async def test_what_is_not_whole_is_an_error_of_its_kind(answer, error):
    async with wired(answer) as (wire, _):
        with pytest.raises(error):
            await ask(wire)


async def test_who_is_not_there_is_told_apart_from_who_cut():
    async with wired() as (wire, _):
        pass
    body = Outgoing(b"{}")
    with pytest.raises(ClientConnectorError):
        await wire.post(body, {})
    assert body.sent_at is None


async def test_giving_up_closes_the_connection():
    async with wired(b"") as (wire, server):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(wire)
        async with asyncio.timeout(10):
            await server.closed.wait()


async def test_a_body_that_nobody_reads_is_not_taken_in():
    size = 64 * 2**20
    async with wired([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size]) as (wire, _):
        response = await wire.post(Outgoing(b"{}"), {})
        await asyncio.sleep(0.1)
        assert len(await response.content.readany()) < size // 2
        response.close()
        with pytest.raises(ClientError):
            await read_all(response)
