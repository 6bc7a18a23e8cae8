"""A mailbox: the Beacon agent, or whatever else keeps answers under the attempt's key (DESIGN section 6).

The work is handed in by its key, as often as it takes, and the answer is fetched by that key in short reads. A
connection that is refused, cut or silent is never a verdict: it is tried again until the deadline.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import ValidationError
from yarl import URL

from beacon import __version__
from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure
from beacon.domain.fleet import Provider
from beacon.domain.mailbox import UNKNOWN_KEY, MailboxEntry, MailboxError
from beacon.router.failures import quoted
from beacon.router.transports.base import Call
from beacon.router.transports.completion import MAX_BODY_BYTES, loads
from beacon.router.transports.connection import RequestBody, open_session, pauses_between_tries
from beacon.router.transports.control import Caller, Looked
from beacon.router.transports.exchange import reason, retry_after_s
from beacon.router.transports.request import call_headers, document_of
from beacon.router.transports.visit import Visit

WAIT_S = 20.0
"""How long the mailbox is asked to hold a read: below the idle limit of any proxy known to us (30 s)."""
FIRST_PATIENCE_S = 5.0
"""How much longer than that a try may be silent before it is given up for the next one, which has twice as long. It
ends a try, never an inference: a connection that has died without a word would else take the whole deadline."""
_NOBODYS_KEY = "beacon.look"
_TROUBLED_WAY = frozenset({408, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Reply:
    """A response that arrived whole. `entry` or `error` is set where it is in the form of the contract."""

    status: int
    entry: MailboxEntry | None
    error: MailboxError | None
    retry_after_s: float | None


class AgentTransport:
    """`key` is sent as a bearer token, if there is one."""

    def __init__(self, provider: Provider, key: str | None, clock: Clock) -> None:
        self._provider = provider
        self._key = key
        self._clock = clock
        self._url = URL(f"{provider.url}/inferences")
        self._session: ClientSession | None = None

    async def open(self) -> None:
        headers = {"User-Agent": f"beacon/{__version__}", "Accept-Encoding": "identity"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        self._session = open_session(headers)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def infer(self, call: Call) -> Outcome:
        """Cancelling it stops the waiting only; `cancel` withdraws the work."""
        visit = self._visit(call)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                outcome = await self._submit(visit) or await self._until_over(visit) or visit.forgotten()
        except TimeoutError:
            return visit.at_deadline()
        if call.sink is not None and isinstance(outcome, Answer):
            await call.sink.take(visit.document, streamed=False)
        return outcome

    async def fetch(self, call: Call) -> Outcome | None:
        """What became of the work of that key, which may be under way still; None where it is not known there."""
        visit = self._visit(call)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                outcome = await self._until_over(visit)
        except TimeoutError:
            return visit.at_deadline()
        return visit.forgotten() if outcome is None and visit.accepted else outcome

    def _visit(self, call: Call) -> Visit:
        return Visit(self._provider, call, self._key, self._clock)

    async def cancel(self, key: str, deadline: Deadline) -> None:
        """Withdraws the work, as far as the mailbox can be reached with one try; its own deadline ends it else."""
        with suppress(TimeoutError, ClientError, HttpProcessingError):
            async with (
                asyncio.timeout(min(FIRST_PATIENCE_S, deadline.left_s())),
                self._open.delete(self._url / key, allow_redirects=False),
            ):
                pass

    async def look(self, within_s: float) -> Looked:
        """What the agent says of itself; then, by a key that nobody has used, whether it takes ours."""
        caller = Caller(self._open, self._clock, self._key)
        looked, told = await caller.ask(self._url.parent.parent / "healthz", within_s)
        if not looked.awake or not isinstance(told, dict):
            return looked
        left_s = max(0.0, within_s - looked.elapsed_s)
        entry, refusal = await caller.ask(self._url / _NOBODYS_KEY, left_s)
        elapsed_s = looked.elapsed_s + entry.elapsed_s
        if entry.status != 404 or not _is_of_a_mailbox(refusal):
            # A 404 of another kind: an agent is there, but not under this address.
            return replace(entry, elapsed_s=elapsed_s)
        models, unlisted = told.get("models"), told.get("models_not_listed")
        return replace(
            looked,
            # An agent that stands before an inference server that is not up yet is awake, its model is not.
            status=503 if unlisted is not None else 200,
            elapsed_s=elapsed_s,
            said="" if unlisted is None else quoted(str(unlisted), self._key),
            models=frozenset(map(str, models)) if isinstance(models, dict) and models else None,
            region=quoted(told["region"]) if isinstance(told.get("region"), str) else None,
        )

    @property
    def _open(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("the router is not open")
        return self._session

    async def _submit(self, visit: Visit) -> Failure | None:
        """Hands the work in until the mailbox tells that it has it; a failure where it will not take it."""
        patience, pauses = FIRST_PATIENCE_S, pauses_between_tries()
        while True:
            sent_before = visit.sent
            body = RequestBody(json.dumps(self._document(visit.call)).encode(), self._clock.monotonic)
            reply = await self._try(visit, "PUT", patience, data=body, headers=call_headers(visit.call))
            visit.sent = visit.sent or body.sent_at is not None
            if reply is None:
                if not visit.sent:
                    return visit.unreached()
                patience *= 2
            elif reply.entry is not None and reply.status in {200, 202}:
                visit.hear(reply.entry)
                return None
            elif reply.error is not None and reply.error.kind == UNKNOWN_KEY:
                return visit.forgotten()
            elif reply.error is not None:
                return visit.refused(reply.status, reply.error, reply.retry_after_s)
            elif reply.status in _TROUBLED_WAY or (reply.status == 429 and sent_before):
                visit.trouble = f"HTTP {reply.status} from something between"
            else:
                return visit.refused_by_way(reply.status, reply.retry_after_s)
            await asyncio.sleep(next(pauses))

    async def _until_over(self, visit: Visit) -> Outcome | None:
        """Reads until the work is over; None where the mailbox says that it does not know the key."""
        patience, pauses = FIRST_PATIENCE_S, pauses_between_tries()
        while True:
            since = self._clock.monotonic()
            wait = min(WAIT_S, visit.call.deadline.left_s())
            reply = await self._try(visit, "GET", wait + patience, params={"wait": f"{wait:.3f}"})
            if reply is None:
                patience *= 2
            elif reply.entry is not None and reply.status == 200:
                visit.hear(reply.entry)
                if not reply.entry.under_way:
                    return visit.end(reply.entry)
                if self._clock.monotonic() - since > wait / 2:
                    pauses = pauses_between_tries()
                    continue
            elif reply.status == 404 and reply.error is not None:
                return None
            else:
                visit.trouble = f"HTTP {reply.status} in place of an answer"
            await asyncio.sleep(next(pauses))

    async def _try(self, visit: Visit, method: str, patience_s: float, **more: Any) -> _Reply | None:
        """One request; None where no whole response came, and `visit.trouble` says why."""
        url = self._url / visit.call.inference.key
        try:
            async with (
                asyncio.timeout(patience_s),
                self._open.request(method, url, allow_redirects=False, **more) as response,
            ):
                reply = await self._read(response)
        except TimeoutError:
            visit.trouble = f"no response within {patience_s:.0f} s"
        except (ClientError, HttpProcessingError) as error:
            visit.trouble = reason(error)
        else:
            if reply.entry is None or reply.entry.key == visit.call.inference.key:
                return reply
            visit.trouble = "the entry of another key came"
        return None

    async def _read(self, response: ClientResponse) -> _Reply:
        body = bytearray()
        while len(body) <= 2 * MAX_BODY_BYTES and (chunk := await response.content.readany()):
            body += chunk
        entry, error = None, None
        with suppress(ValidationError, ValueError, RecursionError):
            document = loads(bytes(body))
            if response.status < 300:
                entry = MailboxEntry.model_validate(document)
            elif response.status >= 400:
                error = MailboxError.model_validate(_error_in(document))
        return _Reply(response.status, entry, error, retry_after_s(response, self._clock.wall()))

    def _document(self, call: Call) -> dict[str, Any]:
        model = self._provider.models[call.inference.model]
        request = document_of(call, model)
        return {
            "region": self._provider.region,
            "model": model,
            "request": request,
            "deadline_ms": call.deadline.left_ms(),
        }


def _error_in(document: Any) -> Any:
    return document.get("error") if isinstance(document, dict) else None


def _is_of_a_mailbox(refusal: Any) -> bool:
    error = _error_in(refusal)
    return isinstance(error, dict) and error.get("kind") == UNKNOWN_KEY
