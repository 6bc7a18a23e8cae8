"""The network between a simulated process and a simulated provider, in the place of aiohttp's session.

The transports are the real ones; what they send reaches a provider late, twice, or never, and so does its answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiohttp import ClientConnectorError, ClientPayloadError, ServerDisconnectedError
from multidict import CIMultiDict
from yarl import URL

from beacon.router.transports.posting import Outgoing
from tests.simulation.processes import CURRENT, Process, for_ever

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True)
class Request:
    method: str
    url: URL
    headers: dict[str, str]
    document: Any
    wait_s: float
    sender: Process | None

    @property
    def key(self) -> str | None:
        return self.headers.get("X-Beacon-Key")


@dataclass
class Reply:
    """`chunks` are the body with the seconds before each part; `delivered` is called when the last was read."""

    status: int
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    delivered: Callable[[], None] = lambda: None


def json_reply(status: int, document: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, [(0.0, json.dumps(document).encode())], headers or {})


class Session:
    """What the transports use of `aiohttp.ClientSession`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._process = CURRENT.get()

    def post(self, url: URL, *, data: Any, headers: dict[str, str], allow_redirects: bool) -> _Sending:
        return _Sending(self._send("POST", url, data, headers))

    def get(self, url: URL, *, headers: dict[str, str] | None = None, allow_redirects: bool) -> _Sending:
        return _Sending(self._send("GET", url, None, headers))

    def delete(self, url: URL, *, allow_redirects: bool) -> _Sending:
        return _Sending(self._send("DELETE", url, None, None))

    def request(
        self,
        method: str,
        url: URL,
        *,
        allow_redirects: bool,
        data: Any = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> _Sending:
        return _Sending(self._send(method, url, data, headers, params))

    async def close(self) -> None:
        pass

    async def _send(
        self,
        method: str,
        url: URL,
        data: Any,
        headers: dict[str, str] | None,
        params: dict[str, str] | None = None,
    ) -> Response:
        if self._process is not None and self._process.dead:
            await for_ever()
        world, server = self._world, self._world.servers[url.host or ""]
        rates, draw = world.rates, server.rng
        server.asked(method, url, self._process)
        await asyncio.sleep(draw.uniform(0.0005, 0.01))
        if draw.random() < rates.refused:
            raise ClientConnectorError(
                SimpleNamespace(host=url.host, port=80, ssl=False, is_ssl=False),  # type: ignore[arg-type]
                OSError(111, "Connection refused"),
            )
        document = None
        if data is not None:
            data.sent_at = world.clock.monotonic()
            document = json.loads(data.data if isinstance(data, Outgoing) else data.decode())
        wait_s = float((params or {}).get("wait", 0))
        request = Request(method, url, headers or {}, document, wait_s, self._process)
        if data is not None:
            server.sent(request)
        came: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        world.loop.in_world(self._carry(request, came))
        return await came

    async def _carry(self, request: Request, came: asyncio.Future[Response]) -> None:
        """There and back. Whoever asked may be gone meanwhile, which the provider does not notice."""
        world, server = self._world, self._world.servers[request.url.host or ""]
        rates, draw = world.rates, server.rng
        fate = [draw.random() for _ in range(5)]
        await asyncio.sleep(draw.uniform(0.001, 0.05))
        if fate[0] < rates.lost:
            await self._cut(came, draw.uniform(0, 2))
            return
        reply = await server.handle(request)
        if fate[1] < rates.hang:
            return
        if fate[2] < rates.cut:
            await self._cut(came, 0.0)
            return
        await asyncio.sleep(draw.uniform(0.001, 0.05))
        if not came.done():
            came.set_result(Response(request.url, reply, cut=fate[3] < rates.cut_late))

    async def _cut(self, came: asyncio.Future[Response], after_s: float) -> None:
        await asyncio.sleep(after_s)
        if not came.done():
            came.set_exception(ServerDisconnectedError())
            came.exception()  # who would have read it may be dead


class SimulatedPoster:
    """What the plain transport uses of `Poster`."""

    def __init__(self, world: World, url: URL) -> None:
        self._session = Session(world)
        self._url = url

    async def post(self, body: Outgoing, headers: dict[str, str]) -> Response:
        return await self._session.post(self._url, data=body, headers=headers, allow_redirects=False)

    def close(self) -> None:
        pass


class _Sending:
    """Awaited, or entered, as aiohttp's requests are."""

    def __init__(self, sending: Awaitable[Response]) -> None:
        self._sending = sending

    def __await__(self) -> Generator[Any, None, Response]:
        return self._sending.__await__()

    async def __aenter__(self) -> Response:
        return await self._sending

    async def __aexit__(self, *_: object) -> None:
        pass


class Response:
    """What the transports use of `aiohttp.ClientResponse`; it is its own `content`."""

    def __init__(self, url: URL, reply: Reply, *, cut: bool) -> None:
        self.url = url
        self.status = reply.status
        self.headers: CIMultiDict[str] = CIMultiDict(reply.headers)
        self.content = self
        self._reply = reply
        self._left = list(reply.chunks)
        self._cut = cut

    async def readany(self) -> bytes:
        if not self._left:
            return b""
        if self._cut and len(self._left) == 1:
            raise ClientPayloadError("the connection was cut")
        pause_s, chunk = self._left[0]
        if pause_s:
            await asyncio.sleep(pause_s)
        self._left = self._left[1:]
        if not self._left:
            self._reply.delivered()
        return chunk

    def is_eof(self) -> bool:
        return not self._left

    def on_eof(self, callback: Callable[[], None]) -> None:
        callback()

    def close(self) -> None:
        pass

    def release(self) -> None:
        pass
