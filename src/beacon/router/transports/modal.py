"""Modal's web endpoints: the OpenAI API behind a proxy that holds no request longer than 150 s.

What takes longer is answered with a 303 whose Location is the run's result URL; reading that waits for 150 s
again, and may be repeated without starting another run (https://modal.com/docs/guide/webhook-timeouts). So the
POST is sent once, and once a Location is known the answer is fetched from there until the deadline, whatever
becomes of the connections. A cut before that is `outcome_unknown`: there is nothing to fetch by.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import cast

from aiohttp import ClientResponse
from yarl import URL

from beacon.domain.answer import Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.router.credentials import modal_token, secret_of
from beacon.router.failures import quoted
from beacon.router.transports.base import Call
from beacon.router.transports.completion import Malformed
from beacon.router.transports.connection import RequestBody, pauses_between_tries
from beacon.router.transports.exchange import Body, Exchange
from beacon.router.transports.openai import OpenAITransport
from beacon.router.transports.request import call_headers

HASTY_S = 1.0
"""A redirect that came sooner did not wait for a run. It ends no request; see `MOST_HASTY`."""
MOST_HASTY = 20
"""So many redirects in a row, each of which came within `HASTY_S`, are a loop: one that waits for a run takes as
long as the proxy holds a request. Browsers give up after as many. It ends no request that waits."""

_SEE_OTHER = 303
_GONE = frozenset({404, 410})
_TROUBLED_WAY = frozenset({408, 429, 502, 504})
"""What a proxy answers of itself; where a run's result is read, it is no word on the run."""
_CUT = frozenset({FailureKind.OUTCOME_UNKNOWN, FailureKind.REFUSED_CONNECTION})
_MAX_REFERENCE = 2_000


@dataclass(slots=True)
class Chain:
    """How far one run was followed: the `location` of its result, None before the first redirect.

    `legs` counts requests, the POST included; `hasty` the redirects in a row that did not wait.
    """

    location: URL | None = None
    legs: int = 0
    hasty: int = 0


class ModalTransport(OpenAITransport):
    """`key` is a proxy token written `wk-…:ws-…`, or else sent as a bearer token."""

    def __init__(self, provider: Provider, key: str | None, clock: Clock) -> None:
        super().__init__(provider, secret_of(provider, key), clock)
        self._proxy_token = modal_token(key)

    def _credentials(self) -> dict[str, str]:
        if self._proxy_token is None:
            return super()._credentials()
        return dict(zip(("Modal-Key", "Modal-Secret"), self._proxy_token, strict=True))

    def _body(self, data: bytes) -> Body:
        return RequestBody(data, self._clock.monotonic)

    async def _ask(self, exchange: Exchange) -> Outcome:
        chain = Chain(legs=1)
        outcome = await exchange.run(partial(self._submit, exchange, chain))
        return outcome if chain.location is None else await self._fetch_until_told(exchange, chain, outcome)

    async def fetch(self, call: Call) -> Outcome | None:
        """What became of the run whose result URL is `call.reference`; None where there is nothing any more."""
        chain = Chain(self._result_url(call.reference))
        if chain.location is None:
            return None
        body = RequestBody(b"", self._clock.monotonic)
        body.sent_at = self._clock.monotonic()  # the run is under way; what is waited for is its result
        exchange = Exchange(self._provider, call, body, self._key, self._clock, Stage.FETCH)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                outcome = await exchange.run(partial(self._read_result, exchange, chain))
                if chain.legs == 1 and _is_gone(outcome):
                    return None
                return await self._fetch_until_told(exchange, chain, outcome)
        except TimeoutError:
            return exchange.at_deadline()
        finally:
            self._part_with(exchange)

    async def withdraw(self, reference: str, deadline: Deadline) -> None:
        """A result URL can be read and nothing else: the run goes on to its own end."""

    async def _submit(self, exchange: Exchange, chain: Chain) -> ClientResponse:
        headers, body = call_headers(exchange.call), cast(RequestBody, exchange.body)
        response = await self._open.post(self._url, data=body, headers=headers, allow_redirects=False)
        return await self._follow(response, exchange, chain, self._clock.monotonic())

    async def _read_result(self, exchange: Exchange, chain: Chain) -> ClientResponse:
        assert chain.location is not None
        began = self._clock.monotonic()
        return await self._follow(await self._get(exchange, chain, chain.location), exchange, chain, began)

    async def _fetch_until_told(self, exchange: Exchange, chain: Chain, outcome: Outcome) -> Outcome:
        """Reads the result again after each cut, until the run has been told of."""
        pauses = pauses_between_tries()
        while isinstance(outcome, Failure) and (outcome.kind in _CUT or outcome.http_status in _TROUBLED_WAY):
            exchange.hop = self._hop(chain, f"the last of them {_trouble(outcome)}")
            exchange.read_anew()
            await asyncio.sleep(max(next(pauses), outcome.retry_after_s or 0.0))
            outcome = await exchange.run(partial(self._read_result, exchange, chain))
        if isinstance(outcome, Failure) and _is_gone(outcome):
            what = f"had begun the work and has no result of it any more (HTTP {outcome.http_status}; {exchange.hop})"
            return exchange.lost(what, outcome.http_status or 0)
        return outcome

    async def _follow(self, response: ClientResponse, exchange: Exchange, chain: Chain, began: float) -> ClientResponse:
        """The first response that is no redirect to a result. Raises Malformed for one that leads nowhere."""
        while response.status == _SEE_OTHER:
            response.release()
            now = self._clock.monotonic()
            chain.hasty = chain.hasty + 1 if now - began < HASTY_S else 0
            if chain.hasty > MOST_HASTY:
                raise Malformed(f"redirects without end: {chain.hasty} in a row that did not wait for a result")
            location = self._location(response)
            if location != chain.location:
                chain.location = location
                await exchange.call.report(location.raw_path_qs)
            began = now
            response = await self._get(exchange, chain, location)
        return response

    async def _get(self, exchange: Exchange, chain: Chain, location: URL) -> ClientResponse:
        chain.legs += 1
        exchange.hop = self._hop(chain)
        return await self._open.get(location, headers=call_headers(exchange.call), allow_redirects=False)

    def _location(self, response: ClientResponse) -> URL:
        """Where the result is to be read: on the endpoint's own origin. Raises Malformed for any other place."""
        told = response.headers.get("Location", "").strip()
        if not told:
            raise Malformed("a redirect without a Location")
        try:
            location = response.url.join(URL(told, encoded=True)).with_fragment(None)
            same = location.origin() == self._url.origin()
        except ValueError:
            shown = quoted(told.partition("?")[0], self._key)
            raise Malformed(f'a redirect to what is no address, "{shown}"') from None
        if not same:
            raise Malformed(f'a redirect to another origin, "{quoted(str(location.with_query(None)), self._key)}"')
        if len(location.raw_path_qs) > _MAX_REFERENCE:
            raise Malformed(f"a redirect to an address of {len(location.raw_path_qs)} characters")
        return location.with_user(None)

    def _result_url(self, reference: str | None) -> URL | None:
        """Put together as text: joined as an address, a path that begins with two slashes would name a host."""
        if reference is None or not reference.startswith("/"):
            return None
        return URL(f"{self._url.origin()}{reference}", encoded=True)

    def _hop(self, chain: Chain, trouble: str = "") -> str:
        legs = "1 request" if chain.legs == 1 else f"{chain.legs} requests"
        return f"router to {self._url.origin()}, waiting for a result over {legs}{trouble and f', {trouble}'}"


def _is_gone(outcome: Outcome) -> bool:
    return isinstance(outcome, Failure) and outcome.http_status in _GONE


def _trouble(failure: Failure) -> str:
    return f"answered HTTP {failure.http_status}" if failure.http_status is not None else "cut off"
