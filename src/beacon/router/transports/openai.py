"""Any endpoint that speaks the OpenAI chat-completions API and keeps no results.

One request an inference, streamed or not, and nothing hidden: no retry, no redirect, no time-out but the
deadline. A cut after the request was sent is `outcome_unknown`, for only the provider knows.
"""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any, cast

from aiohttp import ClientSession
from yarl import URL

from beacon import __version__
from beacon.domain.answer import Inference, Outcome
from beacon.domain.clock import Clock
from beacon.domain.fleet import Provider
from beacon.router.transports.base import Call
from beacon.router.transports.connection import open_session
from beacon.router.transports.control import Caller, Looked, list_models
from beacon.router.transports.exchange import Body, Exchange, Response
from beacon.router.transports.posting import Outgoing, Poster
from beacon.router.transports.request import call_headers, chat_request


class OpenAITransport:
    """`key` is sent as a bearer token, if there is one."""

    def __init__(self, provider: Provider, key: str | None, clock: Clock) -> None:
        self._provider = provider
        self._key = key
        self._clock = clock
        self._url = URL(f"{provider.url}/chat/completions")
        self._session: ClientSession | None = None
        self._poster: Poster | None = None
        self._lingering: dict[Response, asyncio.TimerHandle] = {}

    async def open(self) -> None:
        """Inferences are posted by the poster; the session is for control calls, and for what follows redirects."""
        headers = {"User-Agent": f"beacon/{__version__}", "Accept-Encoding": "identity"} | self._credentials()
        self._session = open_session(headers)
        self._poster = Poster(self._url, headers, self._clock.monotonic)

    def _credentials(self) -> dict[str, str]:
        return {} if self._key is None else {"Authorization": f"Bearer {self._key}"}

    async def close(self) -> None:
        for response, timer in self._lingering.items():
            timer.cancel()
            response.close()
        self._lingering.clear()
        if self._poster is not None:
            self._poster.close()
            self._poster = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def infer(self, call: Call) -> Outcome:
        exchange = Exchange(self._provider, call, self._body(self._encoded(call)), self._key, self._clock)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                return await self._ask(exchange)
        except TimeoutError:
            return exchange.at_deadline()
        finally:
            self._part_with(exchange)

    async def look(self, within_s: float) -> Looked:
        caller = Caller(self._open, self._clock, self._key, self._provider.region_header)
        return await list_models(caller, self._provider.url or "", within_s)

    def _body(self, data: bytes) -> Body:
        return Outgoing(data)

    async def _ask(self, exchange: Exchange) -> Outcome:
        return await exchange.run(partial(self._post, exchange))

    async def _post(self, exchange: Exchange) -> Response:
        if self._poster is None:
            raise RuntimeError("the router is not open")
        return await self._poster.post(cast(Outgoing, exchange.body), call_headers(exchange.call))

    @property
    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("the router is not open")
        return self._session

    def _part_with(self, exchange: Exchange) -> None:
        """Gives the connection back for reuse if its answer is whole, and closes it otherwise.

        An answer is whole at its end marker; the last bytes of its framing may come later, or never. Nobody
        waits for them, and the connection is used again once they are there.
        """
        response = exchange.response
        if response is None or response.content.is_eof():
            return
        if not exchange.whole:
            response.close()
            return
        left = exchange.call.deadline.left_s()
        self._lingering[response] = asyncio.get_running_loop().call_later(left, self._forget, response)
        response.content.on_eof(partial(self._forget, response))

    def _forget(self, response: Response) -> None:
        timer = self._lingering.pop(response, None)
        if timer is not None:
            timer.cancel()
        if not response.content.is_eof():
            response.close()

    def _encoded(self, call: Call) -> bytes:
        if call.request is not None:
            return call.request.encoded(self._provider.models[call.inference.model])
        return json.dumps(self._document(call.inference)).encode()

    def _document(self, inference: Inference) -> dict[str, Any]:
        document = chat_request(inference, self._provider.models[inference.model])
        document["stream"] = self._provider.stream
        if self._provider.stream:
            document["stream_options"] = {"include_usage": True}
        return document
