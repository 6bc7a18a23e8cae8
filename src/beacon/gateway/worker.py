"""The router as the one who does a mailbox's work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from beacon.domain.answer import Answer, Inference, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage, terminal_status
from beacon.domain.mailbox import MailboxError, MailboxState, Submission
from beacon.domain.regions import resolve
from beacon.domain.states import ExecutionStatus
from beacon.errors import InputError
from beacon.gateway.completion import document_of
from beacon.gateway.metrics import Metrics
from beacon.gateway.reply import Reply
from beacon.mailbox.state import Accepted, Ended
from beacon.mailbox.worker import Admitted, Note, unserved
from beacon.router.router import Placement, Router
from beacon.router.transports.base import ClientRequest

SLOW_READER_S = 5.0
"""How long a client may leave one piece of a kept answer unread; then the answer goes on without it, to be fetched."""
WITHDRAW_S = 5.0
"""How long a provider that keeps results is given to hear that nobody wants one any more."""
_PLAIN = frozenset({"model", "messages", "temperature", "max_tokens", "top_p", "stream", "stream_options"})
"""A stream of an answer to these can be put together again as a document without a loss."""
_STATE = {
    FailureKind.RESULT_LOST: MailboxState.LOST,
    FailureKind.CANCELLED: MailboxState.CANCELLED,
}


def inference_of(key: str, attempt: str | None, model: str, region: str) -> Inference:
    """Stands for a client's own request, whose messages and sampling travel beside it."""
    return Inference(key, int(attempt or 1), model, region, (), 0.0, 0, None, "", "", 0)


class RouterWorker:
    def __init__(self, router: Router, clock: Clock, metrics: Metrics) -> None:
        self.router = router
        self.clock = clock
        self.metrics = metrics
        self._listening: dict[str, Reply] = {}

    def listen(self, key: str, reply: Reply) -> None:
        """The answer to work under that key goes to this client too while it comes."""
        self._listening.setdefault(key, reply)

    def hang_up(self, key: str, reply: Reply) -> None:
        if self._listening.get(key) is reply:
            del self._listening[key]

    def listener(self, key: str) -> Reply | None:
        return self._listening.get(key)

    async def admit(self, submission: Submission) -> Admitted:
        """Raises UnservedError that names what is served."""
        fleet = self.router.fleet
        try:
            region = resolve(submission.region, fleet.regions)
        except InputError as error:
            what = (
                f"it knows no region {submission.region[:60]!r}: {', '.join(fleet.regions)} are served ({error.todo})"
            )
            raise unserved(FailureKind.REGION_MISMATCH, what) from None
        try:
            self.router.check(submission.model, region, only=submission.provider)
        except InputError as error:
            raise unserved(FailureKind.MODEL_MISMATCH, f"{error.what} ({error.todo})") from None
        return Admitted(region, submission.model, "", submission.request, submission.provider)

    async def place_now(self, work: Accepted) -> RouterSlot | None:
        placement = self.router.place_now(work.model, work.region, only=work.provider)
        return None if placement is None else RouterSlot(self, placement, work.model)

    async def place(self, work: Accepted) -> RouterSlot:
        placement = await self.router.place(work.model, work.region, only=work.provider)
        return RouterSlot(self, placement, work.model)

    def expired_in_queue(self, work: Accepted, waited_ms: float) -> MailboxError:
        return error_of(self.router.expired_while_waiting(work.model, work.region, waited_ms))

    async def take_over(self, work: Accepted, deadline: Deadline) -> Ended | None:
        """Fetches what a provider that keeps results made of it, asked by an earlier gateway."""
        inference = inference_of(work.key, work.attempt, work.model, work.region)
        outcome = await self.router.fetch(work.provider, inference, deadline, work.reference)
        return None if outcome is None else ended_of(outcome, work, None)

    async def withdraw(self, work: Accepted) -> None:
        await self.router.cancel(work.provider, work.key, Deadline.after(WITHDRAW_S, self.clock), work.reference)

    def origin(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        return row["provider"], None


class RouterSlot:
    """A slot at one provider of the work's cell."""

    def __init__(self, worker: RouterWorker, placement: Placement, model: str) -> None:
        self.provider = placement.provider.name
        self.upstream_model = placement.provider.models[model]
        self._worker = worker
        self._placement = placement

    async def do(self, work: Accepted, deadline: Deadline, queued_ms: float, note: Note) -> Ended | None:
        """The router's own words where the deadline passes: it knows the hop."""
        inference = inference_of(work.key, work.attempt, work.model, work.region)
        listener = self._worker.listener(work.key)
        # One that comes for a stream under way later is given the whole answer at its end.
        kept = _Kept(None if listener is None else listener)
        request = ClientRequest(self._document(work.request))
        outcome = await self._placement.send(inference, deadline, note, request=request, sink=kept)
        self._worker.metrics.count(self.provider, work.region, work.model, outcome)
        outcome.stages_ms.setdefault(Stage.QUEUE.value, max(0.0, queued_ms - self._placement.waited_ms))
        return ended_of(outcome, work, kept.document)

    def _document(self, request: dict[str, Any]) -> dict[str, Any]:
        """As a stream where the client listens to one, or the provider streams and no part of it can be lost."""
        provider = self._placement.provider
        if provider.transport != "openai" or request.get("stream") is True:
            return request
        if not provider.stream or not _PLAIN.issuperset(request):
            return {**request, "stream": False}
        return {**request, "stream": True, "stream_options": {"include_usage": True}}

    def release(self) -> None:
        self._placement.release()


class _Kept:
    """A sink that keeps a document, and passes a stream on to a client that listens, if it reads."""

    def __init__(self, listener: Reply | None) -> None:
        self.document: bytes | None = None
        self._listener = listener

    async def take(self, chunk: bytes, *, streamed: bool) -> None:
        if not streamed:
            self.document = chunk
        elif self._listener is not None:
            try:
                async with asyncio.timeout(SLOW_READER_S):
                    await self._listener.take(chunk, streamed=True)
            except TimeoutError:
                self._listener.gone = True
                self._listener = None


def ended_of(outcome: Outcome, work: Accepted, document: bytes | None) -> Ended:
    if isinstance(outcome, Failure):
        timed_out = terminal_status(outcome.kind) is ExecutionStatus.TIMED_OUT
        state = MailboxState.EXPIRED if timed_out else _STATE.get(outcome.kind, MailboxState.FAILED)
        return Ended(state, outcome.stages_ms, error=error_of(outcome))
    kept = document_of(outcome, work.key, work.model) if document is None else json.loads(document)
    return Ended(
        MailboxState.DONE,
        outcome.stages_ms,
        response_json=json.dumps(kept),
        response_sha256=outcome.raw_sha256,
        simulated=outcome.simulated,
        route=_route(outcome),
    )


def error_of(failure: Failure) -> MailboxError:
    return MailboxError(
        kind=failure.kind.value,
        stage=failure.stage.value,
        message=failure.message,
        http_status=failure.http_status,
        retry_after_s=failure.retry_after_s,
        retryable=failure.retryable,
        counts=failure.counts,
    )


def _route(answer: Answer) -> dict[str, Any]:
    first = answer.first_token_at
    return {
        "region_stated": answer.region_stated,
        "region_evidence": answer.region_evidence,
        "upstream": answer.upstream,
        "retracted": answer.retracted,
        "first_token_ms": None if first is None else max(0.0, 1000 * (first - answer.started_at)),
    }
