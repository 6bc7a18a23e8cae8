"""A control-plane call: a provider's list of models, or an agent's word on itself. It runs no inference.

It does wake a container that was scaled to zero, so it is made for a job at hand or at an operator's request, and
never to find out whether a provider is well (invariant free-health).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, runtime_checkable

from aiohttp import ClientConnectorError, ClientError, ClientResponse, ClientSession
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from beacon.domain.clock import Clock
from beacon.router.failures import quoted
from beacon.router.transports.completion import loads, stated_message
from beacon.router.transports.exchange import reason, retry_after_s

MAX_BYTES = 2**20
MAX_MODELS = 10_000


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a control call.

    `status` is None where no whole response came, and `trouble` says why; `reached` is whether a connection was made.
    `models` are the names that the provider
    lists, None where it lists none in the usual form. `said` are its own words about an error. `skew_s` is how far
    its clock is ahead, from its Date header, which has whole seconds. `elapsed_s` is the time of the call.
    """

    status: int | None
    elapsed_s: float
    trouble: str | None = None
    reached: bool = True
    said: str = ""
    retry_after_s: float | None = None
    models: frozenset[str] | None = None
    region: str | None = None
    skew_s: float | None = None

    @property
    def awake(self) -> bool:
        return self.status == 200

    @property
    def starting(self) -> bool:
        """Whether it may be on its way up: it, or what stands before it, says to come again, or says nothing."""
        return self.status in _STARTING or (self.status is None and self.reached)


_STARTING = frozenset({303, 408, 425, 429, 502, 503, 504})


@runtime_checkable
class Looks(Protocol):
    """What a transport offers besides where its provider can be asked without an inference."""

    async def look(self, within_s: float) -> Looked:
        """One control call, given up after `within_s`. Never raises for what a provider or a network does."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what must not be told on: the `key` is cut out of a provider's words."""

    session: ClientSession
    clock: Clock
    key: str | None = field(repr=False)
    region_header: str | None = None

    async def ask(self, url: URL, within_s: float, method: str = "GET") -> tuple[Looked, Any]:
        """One request, without redirects; with the JSON document of the answer, None where there is none."""
        began = self.clock.monotonic()
        try:
            async with (
                asyncio.timeout(within_s),
                self.session.request(method, url, allow_redirects=False) as response,
            ):
                body = await _bounded(response)
        except TimeoutError:
            trouble = f"no response within {within_s:.3g} s"
            return Looked(None, self.clock.monotonic() - began, trouble=trouble), None
        except (ClientError, HttpProcessingError) as error:
            elapsed_s, reached = self.clock.monotonic() - began, not isinstance(error, ClientConnectorError)
            return Looked(None, elapsed_s, trouble=quoted(reason(error), self.key), reached=reached), None
        return self._read(response, body, self.clock.monotonic() - began), _document(body)

    def _read(self, response: ClientResponse, body: bytes, elapsed_s: float) -> Looked:
        now = self.clock.wall()
        stated = response.headers.get(self.region_header, "").strip() if self.region_header else ""
        sent_at = _date(response)
        return Looked(
            status=response.status,
            elapsed_s=elapsed_s,
            said=quoted(stated_message(body), self.key) if response.status >= 400 else "",
            retry_after_s=retry_after_s(response, now),
            models=_listed(_document(body), self.key) if response.status == 200 else None,
            region=quoted(stated, self.key) or None,
            # The header was written somewhere between the request and now, within a whole second.
            skew_s=None if sent_at is None else sent_at + 0.5 - (now - elapsed_s / 2),
        )


async def list_models(caller: Caller, url: str, within_s: float) -> Looked:
    """`GET {url}/models` (OpenAI API reference, "List models")."""
    looked, _ = await caller.ask(URL(f"{url}/models"), within_s)
    return looked


async def _bounded(response: ClientResponse) -> bytes:
    body = bytearray()
    while len(body) < MAX_BYTES and (chunk := await response.content.readany()):
        body += chunk
    return bytes(body[:MAX_BYTES])


def _document(body: bytes) -> Any:
    try:
        return loads(body)
    except (ValueError, RecursionError):
        return None


def _listed(document: Any, key: str | None) -> frozenset[str] | None:
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        return None
    names = (row.get("id") for row in rows[:MAX_MODELS] if isinstance(row, dict))
    return frozenset(quoted(name, key) for name in names if isinstance(name, str))


def _date(response: ClientResponse) -> float | None:
    try:
        date = parsedate_to_datetime(response.headers.get("Date", ""))
    except (ValueError, IndexError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
