"""A provider that is reached through a gateway: the mailbox contract, for one provider by its name.

The gateway has asked the provider as this router would have, so its verdict is taken over word for word; what it
states of region and model is compared all the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from beacon.domain.answer import Answer, Outcome
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.mailbox import MailboxEntry
from beacon.router.failures import MISMATCHES, quoted
from beacon.router.transports.agent import FIRST_PATIENCE_S, AgentTransport
from beacon.router.transports.base import Call
from beacon.router.transports.control import Caller, Looked
from beacon.router.transports.visit import Visit

_MAX_MESSAGE = 2_000
_LOOKED = TypeAdapter(Looked)


class GatewayTransport(AgentTransport):
    async def look(self, within_s: float) -> Looked:
        """What the provider says of itself, asked by the gateway."""
        caller = Caller(self._open, self._clock, self._key)
        url = self._url.parent / "providers" / self._provider.name / "look"
        way, told = await caller.ask(url.with_query(within=f"{within_s:.3f}"), within_s + FIRST_PATIENCE_S, "POST")
        if way.status != 200 or not isinstance(told, dict):
            return way
        try:
            return replace(_LOOKED.validate_python(told), elapsed_s=way.elapsed_s)
        except ValidationError:
            return replace(way, status=None, trouble="what answered is no gateway")

    def _visit(self, call: Call) -> Visit:
        return _Visit(self._provider, call, self._key, self._clock)

    def _document(self, call: Call) -> dict[str, Any]:
        return {**super()._document(call), "provider": self._provider.name}


class _Visit(Visit):
    def _failure(self, entry: MailboxEntry, stages: dict[str, float]) -> Failure:
        """The gateway's words, where they are those of its router."""
        told = super()._failure(entry, stages)
        error = entry.error
        if error is None or error.retryable is None or error.kind not in set(FailureKind):
            return told
        kind = FailureKind(error.kind)
        return replace(
            told,
            kind=kind,
            stage=Stage(error.stage) if error.stage in set(Stage) else told.stage,
            message=error.message[:_MAX_MESSAGE],
            retryable=error.retryable,
            counts=error.counts,
            other_provider_only=kind in MISMATCHES,
            stages_ms=stages,
        )

    def end(self, entry: MailboxEntry) -> Outcome:
        """The way of the answer, as the gateway knows it: its evidence of a region is the provider's, not its own."""
        outcome = super().end(entry)
        if not isinstance(outcome, Answer):
            return outcome
        first_ms = entry.first_token_ms
        return replace(
            outcome,
            region_stated=None if entry.region_stated is None else quoted(entry.region_stated),
            region_evidence=entry.region_evidence or "unknown",
            upstream=None if entry.upstream is None else quoted(entry.upstream),
            retracted=entry.retracted,
            first_token_at=None if first_ms is None else outcome.started_at + first_ms / 1000,
        )
