"""The inference server beside the agent: its list of models, and one request an inference, never repeated."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from beacon import __version__
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.mailbox import MailboxError, MailboxState
from beacon.mailbox.state import Accepted, Ended

MAX_RESPONSE_BYTES = 16 * 2**20
MAX_ERROR_BYTES = 2**16
LISTING_PATIENCE_S = 5.0
"""How long the list of models is waited for. No inference waits for it: where it is not there, work is accepted or
refused by what the agent was started with."""


class NotListedError(Exception):
    """The inference server did not tell which models it serves; the text says why."""


@dataclass(slots=True)
class _Way:
    """One request on its way: when its head had been written to the connection (monotonic seconds)."""

    began: float
    sent_at: float | None = None


class Upstream:
    """Use `async with`. `url` ends where `/chat/completions` and `/models` begin."""

    def __init__(self, url: str, key: str | None, clock: Clock) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    @property
    def origin(self) -> str:
        """Host and port, as answers state who served them."""
        return URL(self.url).authority

    async def __aenter__(self) -> Upstream:
        self._session = self._new_session()
        return self

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {"User-Agent": f"beacon-agent/{__version__}", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        tracing = aiohttp.TraceConfig()
        tracing.on_request_headers_sent.append(self._note_sent)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            trace_configs=[tracing],
        )

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the upstream is not open")
        return self._session

    async def _note_sent(self, _: object, context: Any, __: object) -> None:
        way = context.trace_request_ctx
        if isinstance(way, _Way):
            way.sent_at = self._clock.monotonic()

    async def models(self) -> frozenset[str]:
        """The names that `GET /models` lists, which runs no inference. Raises NotListedError."""
        try:
            async with (
                asyncio.timeout(LISTING_PATIENCE_S),
                self._open.get(f"{self.url}/models", allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise NotListedError(f"its /models answered HTTP {response.status}")
                return _listed(json.loads(await _bounded(response, MAX_RESPONSE_BYTES)))
        except TimeoutError:
            raise NotListedError(f"its /models did not answer within {LISTING_PATIENCE_S:g} s") from None
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise NotListedError(f"its /models could not be reached: {_reason(error)}") from error
        except (ValueError, RecursionError) as error:
            raise NotListedError("its /models answered with something else than a list of models") from error

    async def ask(self, work: Accepted, deadline: Deadline, queued_ms: float) -> Ended:
        """Asks once. Cancelling it closes the connection, by which inference servers notice that nobody waits."""
        way = _Way(self._clock.monotonic())
        headers = {"X-Beacon-Key": work.key, "X-Beacon-Deadline-Ms": str(deadline.left_ms())}
        if work.attempt is not None:
            headers["X-Beacon-Attempt"] = work.attempt
        stages = {Stage.QUEUE.value: queued_ms}
        # A connection of its own: one used before may just be closing, which would lose an inference, or hold an
        # answer that nobody asked for.
        async with self._new_session() as session:
            try:
                async with session.post(
                    f"{self.url}/chat/completions",
                    json=work.request,
                    headers=headers,
                    allow_redirects=False,
                    trace_request_ctx=way,
                ) as response:
                    ended = await self._read(response, stages)
            except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
                ended = _broken(error, way, stages)
        self._add_times(way, stages)
        return ended

    def _add_times(self, way: _Way, stages: dict[str, float]) -> None:
        now = self._clock.monotonic()
        stages[Stage.CONNECT.value] = 1000 * ((way.sent_at or now) - way.began)
        if way.sent_at is not None:
            stages[Stage.INFERENCE.value] = 1000 * (now - way.sent_at)

    async def _read(self, response: aiohttp.ClientResponse, stages: dict[str, float]) -> Ended:
        if response.status >= 300:
            return self._refused(response, await _error_text(response), stages)
        body = await _bounded(response, MAX_RESPONSE_BYTES + 1)
        if len(body) > MAX_RESPONSE_BYTES:
            return _failed(FailureKind.PROTOCOL_ERROR, f"more than {MAX_RESPONSE_BYTES // 2**20} MiB came", stages)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            return _failed(FailureKind.PROTOCOL_ERROR, "the inference server answered with no JSON object", stages)
        return Ended(
            MailboxState.DONE,
            stages,
            response_json=json.dumps(document),
            response_sha256=sha256(body).hexdigest(),
            simulated=response.headers.get("X-Beacon-Simulated", "").lower() == "true",
        )

    def _refused(self, response: aiohttp.ClientResponse, text: str, stages: dict[str, float]) -> Ended:
        status = response.status
        if status < 400:
            what = f"the inference server answered HTTP {status}, a redirect, which is not followed"
            return _failed(FailureKind.PROTOCOL_ERROR, what, stages, http_status=status)
        said = text.replace(self._key, "[key]")[:1_000] if self._key else text[:1_000]
        what = f"the inference server answered HTTP {status}" + (f": {said}" if said else "")
        kind = FailureKind.RATE_LIMITED if status == 429 else FailureKind.PROVIDER_ERROR
        retry_after = response.headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        return _failed(kind, what, stages, http_status=status, retry_after_s=seconds)


def _listed(document: Any) -> frozenset[str]:
    """Raises ValueError."""
    rows = document.get("data") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise ValueError
    return frozenset(str(row["id"]) for row in rows if isinstance(row, dict) and "id" in row)


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (chunk := await response.content.readany()):
        data += chunk
    return bytes(data[:limit])


async def _error_text(response: aiohttp.ClientResponse) -> str:
    """The words of a refusal on one line, as far as they come: its status is the verdict."""
    try:
        body = await _bounded(response, MAX_ERROR_BYTES)
    except (aiohttp.ClientError, HttpProcessingError):
        return ""
    return " ".join(body.decode("utf-8", "replace").split())


def _failed(kind: FailureKind, what: str, stages: dict[str, float], **more: Any) -> Ended:
    error = MailboxError(kind=kind.value, stage=Stage.INFERENCE.value, message=what, **more)
    return Ended(MailboxState.FAILED, stages, error=error)


def _broken(error: Exception, way: _Way, stages: dict[str, float]) -> Ended:
    """Before the request was sent nothing ran; after it, only the inference server knows, and it keeps nothing."""
    if way.sent_at is None:
        what = f"the inference server could not be reached: {_reason(error)}"
        fault = MailboxError(kind=FailureKind.REFUSED_CONNECTION.value, stage=Stage.CONNECT.value, message=what)
        return Ended(MailboxState.FAILED, stages, error=fault)
    what = f"the inference server broke off before its answer was whole: {_reason(error)}"
    fault = MailboxError(kind=FailureKind.RESULT_LOST.value, stage=Stage.INFERENCE.value, message=what)
    return Ended(MailboxState.LOST, stages, error=fault)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
