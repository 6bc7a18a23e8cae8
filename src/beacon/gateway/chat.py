"""`POST /v1/chat/completions`: passed through to a provider of the cell, or kept under the client's key besides."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from itertools import count
from typing import Any

from starlette.types import Receive, Send

from beacon.domain.answer import Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.mailbox import MAX_WAIT_S, MailboxEntry, MailboxState, Submission
from beacon.gateway.asking import Asked, Headers, Reader, read_body
from beacon.gateway.completion import as_stream, document_of
from beacon.gateway.metrics import Metrics
from beacon.gateway.refusal import Refused, of_failure
from beacon.gateway.reply import JSON, Pairs, Reply
from beacon.gateway.worker import WITHDRAW_S, RouterWorker, inference_of
from beacon.mailbox.mailbox import Mailbox, OtherBodyError
from beacon.mailbox.worker import UnservedError
from beacon.router.router import Placement, Router
from beacon.router.transports.base import ClientRequest


class Chat:
    def __init__(self, router: Router, mailbox: Mailbox, worker: RouterWorker, metrics: Metrics, clock: Clock) -> None:
        self._router = router
        self._mailbox = mailbox
        self._worker = worker
        self._metrics = metrics
        self._clock = clock
        self._now = clock.monotonic
        self.reader = Reader(router)
        # Providers are told a key with every request: no two of them are the same, in whatever gateway or life of one.
        self._prefix = f"gw.{uuid.uuid4().hex[:12]}"
        self._numbers = count(1)

    async def answer(self, headers: Headers, receive: Receive, send: Send) -> None:
        """Raises Refused for what cannot be asked, as long as nothing has been sent."""
        began = self._now()
        asked = self.reader.read(headers, await read_body(receive))
        reply = Reply(receive, send, stream=asked.stream)
        try:
            if asked.key is None:
                await self._pass_through(asked, reply, began)
            else:
                await self._keep(asked, asked.key, reply, began)
        finally:
            reply.close()

    async def _pass_through(self, asked: Asked, reply: Reply, began: float) -> None:
        """Asks once. A client that goes away ends it: nobody could fetch the answer."""
        task = asyncio.current_task()
        assert task is not None
        reply.on_gone = task.cancel
        key = f"{self._prefix}.{next(self._numbers)}"
        deadline = Deadline.after(asked.deadline_ms / 1000, self._clock)
        placement: Placement | None = None
        try:
            placement = self._router.place_now(asked.model, asked.region) or await self._wait(asked, deadline)
            if placement is None:
                waited_ms = 1000 * (self._now() - began)
                failure = self._router.expired_while_waiting(asked.model, asked.region, waited_ms)
                await reply.refuse(of_failure(failure, provider=None, region=asked.region, model=asked.model))
                return
            outcome = await self._send(asked, key, placement, deadline, reply)
        except asyncio.CancelledError:
            if not reply.gone:
                raise
            task.uncancel()
            if placement is not None:
                await self._router.cancel(placement.provider.name, key, Deadline.after(WITHDRAW_S, self._clock))
            return
        finally:
            if placement is not None:
                placement.release()
        self._metrics.count(placement.provider.name, asked.region, asked.model, outcome)
        await self._tell(outcome, asked, placement.provider.name, reply, began, key)

    async def _wait(self, asked: Asked, deadline: Deadline) -> Placement | None:
        """None where the deadline passed."""
        try:
            async with asyncio.timeout(deadline.left_s()):
                return await self._router.place(asked.model, asked.region)
        except TimeoutError:
            return None

    async def _send(self, asked: Asked, key: str, placement: Placement, deadline: Deadline, reply: Reply) -> Outcome:
        reply.headers = _who(placement.provider.name, asked)
        if placement.cold_start_s > 0:
            deadline = Deadline(deadline.expires_at + placement.cold_start_s, self._clock)
        inference = inference_of(key, asked.attempt, asked.model, asked.region)
        request = ClientRequest(asked.document, asked.body)
        return await placement.send(inference, deadline, request=request, sink=reply)

    async def _tell(self, outcome: Outcome, asked: Asked, provider: str, reply: Reply, began: float, key: str) -> None:
        if isinstance(outcome, Failure):
            refused = of_failure(outcome, provider=provider, region=asked.region, model=asked.model)
            await reply.refuse(refused)
            return
        share_ms = max(0.0, 1000 * (self._now() - began) - sum(outcome.stages_ms.values()))
        self._metrics.share(share_ms)
        if not asked.stream:
            document = reply.document or _encoded(document_of(outcome, key, asked.model))
            route = _route(outcome.region_evidence, outcome.model_echoed, outcome.upstream, outcome.simulated)
            await reply.end(200, [JSON, *route, *_share(share_ms)], document)
            return
        if not reply.passed_on:
            whole = document_of(outcome, key, asked.model) if reply.document is None else json.loads(reply.document)
            await reply.write(as_stream(whole))
        await reply.end(200, [], f": X-Beacon-Overhead-Ms: {share_ms:.3f}\n\n".encode())

    async def _keep(self, asked: Asked, key: str, reply: Reply, began: float) -> None:
        """Accepted under its key before it is sent; it goes on without the client."""
        reply.headers = [(b"x-beacon-key", key.encode()), (b"x-beacon-region", asked.region.encode())]
        submission = Submission(
            region=asked.region, model=asked.model, request=asked.document, deadline_ms=asked.deadline_ms
        )
        if asked.stream:
            self._worker.listen(key, reply)
        try:
            entry = await self._until_over(key, submission, asked.attempt, reply)
        finally:
            self._worker.hang_up(key, reply)
        if not reply.gone and entry is not None:
            await self._tell_entry(entry, asked, reply, began)

    async def _until_over(
        self, key: str, submission: Submission, attempt: str | None, reply: Reply
    ) -> MailboxEntry | None:
        try:
            new = await asyncio.shield(self._mailbox.submit(key, submission, attempt))
        except OtherBodyError:
            message = "other work was accepted under this X-Beacon-Key before"
            raise Refused(409, message, code="conflict", param="X-Beacon-Key") from None
        except UnservedError as error:
            fault = error.fault
            raise Refused(
                error.status,
                f"the gateway says that {fault.message}",
                code=fault.kind,
                retry_after_s=fault.retry_after_s,
            ) from None
        except sqlite3.Error as error:
            raise Refused(503, f"the gateway's state file cannot be used: {error}", code="state") from error
        if not new:
            self._worker.hang_up(key, reply)
        while not reply.gone:
            entry = await self._mailbox.read(key, MAX_WAIT_S)
            if entry is None or not entry.under_way:
                return entry
        return None

    async def _tell_entry(self, entry: MailboxEntry, asked: Asked, reply: Reply, began: float) -> None:
        reply.headers += [(b"x-beacon-provider", (entry.provider or "").encode())]
        if entry.response is None:
            failure = _failure_of(entry)
            await reply.refuse(
                of_failure(failure, provider=entry.provider, region=asked.region, model=asked.model, key=entry.key)
            )
            return
        share_ms = max(0.0, 1000 * (self._now() - began) - sum(entry.stages_ms.values()))
        if not asked.stream:
            route = _route(entry.region_evidence, entry.response.get("model"), entry.upstream, entry.simulated)
            await reply.end(200, [JSON, *route, *_share(share_ms)], _encoded(entry.response))
            return
        if not reply.passed_on:
            await reply.write(as_stream(entry.response))
        await reply.end(200, [], f": X-Beacon-Overhead-Ms: {share_ms:.3f}\n\n".encode())


def _failure_of(entry: MailboxEntry) -> Failure:
    error = entry.error
    return Failure(
        kind=FailureKind(error.kind) if error is not None else FailureKind.RESULT_LOST,
        stage=Stage(error.stage) if error is not None else Stage.INFERENCE,
        message=error.message if error is not None else f"the work is {entry.state.value}",
        retryable=bool(error is not None and error.retryable),
        http_status=None if error is None else error.http_status,
        retry_after_s=None if error is None else error.retry_after_s,
        counts=entry.state is not MailboxState.CANCELLED,
        stages_ms=entry.stages_ms,
    )


def _who(provider: str, asked: Asked) -> Pairs:
    return [(b"x-beacon-provider", provider.encode()), (b"x-beacon-region", asked.region.encode())]


def _route(evidence: str | None, echoed: object, upstream: str | None, simulated: bool) -> Pairs:
    told = [
        (b"x-beacon-region-evidence", evidence or "unknown"),
        (b"x-beacon-model", echoed if isinstance(echoed, str) else None),
        (b"x-beacon-upstream", upstream),
        (b"x-beacon-simulated", "true" if simulated else None),
    ]
    return [(name, _header(value)) for name, value in told if value]


def _encoded(document: dict[str, Any]) -> bytes:
    # ASCII, so that a half of a surrogate pair that a model wrote travels as an escape.
    return json.dumps(document).encode()


def _share(ms: float) -> Pairs:
    return [(b"x-beacon-overhead-ms", b"%.3f" % ms)]


def _header(value: str) -> bytes:
    """A provider's words as a header's value: nothing that could end it, or that is no ASCII."""
    value = value[:200]
    if not (value.isascii() and value.isprintable()):
        value = "".join(c if " " <= c <= "~" else "?" for c in value)
    return value.encode()
