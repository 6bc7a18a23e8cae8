"""The response to one chat-completions request, as it goes out: a head, bytes, signs of life, an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import Receive, Send

from beacon.gateway.completion import event
from beacon.gateway.refusal import Refused

WATCH_AFTER_S = 0.05
"""From then on it is noticed when a client goes away; most requests that are answered sooner need no watch."""
HEARTBEAT_S = 15.0
"""A sign of life is sent on a silent connection this often, below the idle limit of common proxies (30 s)."""

JSON = (b"content-type", b"application/json")
STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
Pairs = list[tuple[bytes, bytes]]


class Reply:
    """`headers` are those known before the provider has said anything; `begun` once the head has gone out.

    A sink of the router: a stream goes on as it comes, a document is held until it has been accepted. What a client
    that is gone does not read is dropped.
    """

    __slots__ = (
        "_heartbeats", "_idle_since", "_loop", "_receive", "_send", "_task", "_timer", "begun", "document", "gone",
        "headers", "on_gone", "passed_on", "stream", "taking",
    )  # fmt: skip

    def __init__(self, receive: Receive, send: Send, *, stream: bool) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._idle_since = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(WATCH_AFTER_S, self._begin_watch)
        self._heartbeats = False
        self.stream = stream
        self.begun = False
        self.gone = False
        self.passed_on = False
        self.taking = True
        self.headers: Pairs = []
        self.document: bytes | None = None
        self.on_gone: Callable[[], object] | None = None

    async def take(self, chunk: bytes, *, streamed: bool) -> None:
        """From the provider. A stream that nobody asked for is no answer that could be passed on as it is."""
        if not streamed:
            self.document = chunk
        elif self.stream and self.taking:
            self.passed_on = True
            await self.write(chunk)

    async def write(self, data: bytes) -> None:
        """More of a stream."""
        if self.gone:
            return
        if not self.begun:
            await self._begin(200, STREAM)
        self._heartbeats = data[-2:] == b"\n\n"
        self._idle_since = self._loop.time()
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, status: int, headers: Pairs, body: bytes) -> None:
        """The rest: all of it where nothing has gone out yet."""
        self.close()
        if self.gone:
            return
        if not self.begun:
            length = (b"content-length", str(len(body)).encode())
            await self._begin(status, [*headers, length])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(self, refused: Refused) -> None:
        """An error with its status; inside a response that has begun as a success, as its event or its document."""
        if self.begun:
            await self.end(200, [], event({"error": refused.error}) if self.stream else refused.document)
        else:
            await self.end(refused.status, refused.headers(), refused.document)

    def close(self) -> None:
        """No more signs of life, and nobody looks whether the client is there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _begin(self, status: int, headers: Pairs) -> None:
        self.begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.headers]})

    def _begin_watch(self) -> None:
        self._timer = None
        self._task = self._loop.create_task(self._watch())

    async def _watch(self) -> None:
        """Until the client is gone; on a silent connection it sends comments of a stream, or blanks before JSON."""
        hearing = self._loop.create_task(self._until_gone())
        try:
            while not hearing.done():
                silent = self._loop.time() - self._idle_since
                await asyncio.wait([hearing], timeout=max(0.0, HEARTBEAT_S - silent))
                if not hearing.done() and self._loop.time() - self._idle_since >= HEARTBEAT_S:
                    await self._sign_of_life()
        finally:
            hearing.cancel()
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _sign_of_life(self) -> None:
        self._idle_since = self._loop.time()
        if not self.begun:
            self._heartbeats = True
            await self._begin(200, STREAM if self.stream else [JSON])
        if self._heartbeats:
            sign = b": the provider is at work\n\n" if self.stream else b" "
            await self._send({"type": "http.response.body", "body": sign, "more_body": True})
