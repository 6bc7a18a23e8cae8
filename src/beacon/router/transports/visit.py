"""One inference at a mailbox: how far it came, and what the mailbox's last word on it means."""

from __future__ import annotations

import json
import math

from yarl import URL

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.domain.mailbox import MailboxEntry, MailboxError, MailboxState
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.router.failures import Where, expired, failure, quoted
from beacon.router.transports.base import Call
from beacon.router.transports.completion import Completion, Malformed, StatedError
from beacon.router.transports.exchange import MAX_RETRY_AFTER_S

_KIND_OF_STATE = {
    MailboxState.EXPIRED: FailureKind.DEADLINE_EXPIRED,
    MailboxState.LOST: FailureKind.RESULT_LOST,
    MailboxState.CANCELLED: FailureKind.CANCELLED,
}
_STATED_KINDS = frozenset(
    {
        FailureKind.RATE_LIMITED,
        FailureKind.PROVIDER_ERROR,
        FailureKind.PROTOCOL_ERROR,
        FailureKind.REFUSED_CONNECTION,
        FailureKind.RESULT_LOST,
        FailureKind.DEADLINE_EXPIRED,
        FailureKind.REGION_MISMATCH,
        FailureKind.MODEL_MISMATCH,
    }
)
"""What a mailbox may say that an inference failed of; anything else it says is `provider_error`."""

_MAX_UPSTREAM = 200
_LONGEST_TOLD_MS = 7 * 86_400_000.0
"""No work has a longer deadline than this at a mailbox; a longer time that one tells of is no duration."""

_MAY_PASS = _STATED_KINDS - {FailureKind.PROVIDER_ERROR, FailureKind.PROTOCOL_ERROR}
"""Refusals of which the kind alone says whether a further attempt may help."""


class Visit:
    """`trouble` is why the mailbox could not be spoken to since its last word, None where it could.

    `document` is the answer's, once it is there.
    """

    def __init__(self, provider: Provider, call: Call, key: str | None, clock: Clock) -> None:
        self.call = call
        self.sent = False
        self.accepted = False
        self.trouble: str | None = None
        self.document = b""
        self._provider = provider
        self._key = key
        self._clock = clock
        self._began = clock.monotonic()
        self._began_wall = clock.wall()
        self._accepted_at: float | None = None
        self._heard_at: float | None = None
        self._state: MailboxState | None = None

    def hear(self, entry: MailboxEntry) -> None:
        """The mailbox knows of the inference."""
        self.trouble = None
        self._heard_at = self._clock.monotonic()
        self._state = entry.state
        if not self.accepted:
            self.accepted = True
            self._accepted_at = self._heard_at

    def end(self, entry: MailboxEntry) -> Outcome:
        """The outcome that the mailbox tells of; its statements of region and model are compared first."""
        stages = self._stages_of(entry)
        mismatch = self._region_fault(entry, stages) or self._model_fault(entry, stages)
        if mismatch is not None:
            return mismatch
        if entry.state is not MailboxState.DONE:
            return self._failure(entry, stages)
        completion = Completion(self._clock.monotonic)
        self.document = json.dumps(entry.response).encode()
        try:
            completion.feed(self.document)
            completion.finish()
        except Malformed as fault:
            return self._fail(FailureKind.PROTOCOL_ERROR, f"answered with {fault}", Stage.INFERENCE, stages)
        except StatedError as error:
            what = f"answered with an error{self._words(str(error))}"
            return self._fail(FailureKind.PROVIDER_ERROR, what, Stage.INFERENCE, stages)
        return self._echo_fault(completion, entry, stages) or self._answer(completion, entry, stages)

    def refused(self, status: int, error: MailboxError, retry_after_s: float | None) -> Failure:
        """The mailbox would not accept the inference, in its own words."""
        kind = _stated_kind(error.kind)
        stage = Stage.ROUTE if kind is FailureKind.DEADLINE_EXPIRED else Stage.CONNECT
        what = f"refused the work: it says that {quoted(error.message, self._key)}"
        retryable = None if kind in _MAY_PASS else status >= 500
        return self._fail(
            kind,
            what,
            stage,
            self._stages(Stage.CONNECT),
            retryable=retryable,
            http_status=status,
            retry_after_s=error.retry_after_s if retry_after_s is None else retry_after_s,
        )

    def refused_by_way(self, status: int, retry_after_s: float | None) -> Failure:
        """What stands at the provider's address answered, but not as a mailbox does."""
        kind = FailureKind.RATE_LIMITED if status == 429 else FailureKind.PROVIDER_ERROR
        todo = None
        if status < 400:
            kind, todo = FailureKind.PROTOCOL_ERROR, "check that its url is that of a Beacon agent, up to and with /v1"
        elif status in {401, 403}:
            source = self._provider.api_key_env or self._provider.api_key_file
            todo = f"check the key in {source}" if source else "give it a key by api_key_env or api_key_file"
        elif status in {404, 405}:
            todo = "check that its url is that of a Beacon agent, up to and with /v1"
        what = f"answered HTTP {status} where a mailbox was expected"
        return self._fail(
            kind,
            what,
            Stage.CONNECT,
            self._stages(Stage.CONNECT),
            todo=todo,
            retryable=None if kind is not FailureKind.PROVIDER_ERROR else status >= 500,
            http_status=status,
            retry_after_s=retry_after_s,
        )

    def unreached(self) -> Failure:
        """No byte of the work has left."""
        what = f"could not be reached: {self.trouble}"
        return self._fail(FailureKind.REFUSED_CONNECTION, what, Stage.CONNECT, self._stages(Stage.CONNECT))

    def forgotten(self) -> Failure:
        """The mailbox had accepted the work and knows nothing of it now."""
        what = "had accepted the work and knows nothing of it any more"
        return self._fail(FailureKind.RESULT_LOST, what, Stage.FETCH, self._stages(Stage.FETCH))

    def at_deadline(self) -> Failure:
        """The deadline passed before the mailbox told of an end."""
        hop = f"router to {URL(self._provider.url or '').origin()}"
        if not self.accepted:
            stage, progress = Stage.CONNECT, "had not told that it accepted the work"
        elif self.trouble is not None:
            stage, progress = Stage.FETCH, "had accepted the work, and could not be asked for its answer"
        elif self._state is MailboxState.ACCEPTED:
            stage, progress = Stage.QUEUE, "still had the work in its queue"
        else:
            stage, progress = Stage.INFERENCE, "was still at work"
        starting = self.call.may_be_cold and stage in {Stage.CONNECT, Stage.INFERENCE}
        if starting and (self.sent or self.accepted):
            stage = Stage.COLD_START
        hop += f", {self.trouble}" if self.trouble else ""
        where = Where(self._provider.name, stage, self._stages(stage))
        return expired(where, hop, starting=starting, progress=progress)

    def _answer(self, completion: Completion, entry: MailboxEntry, stages: dict[str, float]) -> Answer:
        provider = self._provider
        finished_at = self._wall_now() - self._age_ms(entry) / 1000
        duration_ms = self._told(entry, Stage.CONNECT) + self._told(entry, Stage.INFERENCE)
        return Answer(
            text=completion.text,
            finish_reason=completion.finish_reason,
            provider=provider.name,
            model_echoed=completion.echoes[0] if completion.echoes else None,
            region_stated=entry.region,
            region_evidence="declared" if entry.region is None else "stated",
            upstream=None if entry.provider is None else entry.provider[:_MAX_UPSTREAM] or None,
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            cost_usd=provider.cost.of(completion.input_tokens, completion.output_tokens),
            simulated=provider.simulated or entry.simulated,
            replayed=False,
            started_at=finished_at - duration_ms / 1000,
            first_token_at=None,
            finished_at=finished_at,
            duration_ms=duration_ms,
            stages_ms=stages,
            raw_sha256=entry.response_sha256,
        )

    def _failure(self, entry: MailboxEntry, stages: dict[str, float]) -> Failure:
        error = entry.error or MailboxError(kind="", stage="", message=f"the work is {entry.state.value}")
        kind = _KIND_OF_STATE.get(entry.state) or _stated_kind(error.kind)
        stage = Stage(error.stage) if error.stage in set(Stage) else Stage.INFERENCE
        starting = self.call.may_be_cold and error.http_status == 503
        retryable = None
        if kind is FailureKind.DEADLINE_EXPIRED and stage is Stage.INFERENCE and self.call.may_be_cold:
            kind, starting = FailureKind.COLD_START_EXPIRED, True
        if starting:
            stage, stages = Stage.COLD_START, _as_cold_start(stages)
        if kind is FailureKind.PROVIDER_ERROR and error.http_status is not None:
            retryable = error.http_status >= 500
        elif kind is FailureKind.CANCELLED:
            retryable = False
        return self._fail(
            kind,
            f"says that {quoted(error.message, self._key)}",
            stage,
            stages,
            retryable=retryable,
            http_status=error.http_status,
            retry_after_s=error.retry_after_s,
            counts=error.http_status != 503 or not starting,
        )

    def _region_fault(self, entry: MailboxEntry, stages: dict[str, float]) -> Failure | None:
        if entry.region is None:
            return None
        try:
            if normalise(entry.region) == self._provider.region:
                return None
        except InputError:
            pass  # what cannot be a region's name is not the name of this one
        what = f'says that it runs in "{quoted(entry.region)}" where "{self._provider.region}" was asked'
        return self._fail(FailureKind.REGION_MISMATCH, what, Stage.INFERENCE, stages)

    def _model_fault(self, entry: MailboxEntry, stages: dict[str, float]) -> Failure | None:
        asked = self._provider.models[self.call.inference.model]
        if entry.model is None or entry.model == asked:
            return None
        what = f'says that this was work for "{quoted(entry.model)}" where "{asked}" was asked'
        return self._fail(FailureKind.MODEL_MISMATCH, what, Stage.INFERENCE, stages)

    def _echo_fault(self, completion: Completion, entry: MailboxEntry, stages: dict[str, float]) -> Failure | None:
        """The agent's own name for the model at its inference server is as good as one of the fleet's echoes."""
        for echo in completion.echoes:
            if echo != entry.upstream_model and not self._provider.accepts_echo(self.call.inference.model, echo):
                asked = entry.upstream_model or self._provider.models[self.call.inference.model]
                what = f'says that "{quoted(echo)}" answered where "{asked}" was asked'
                return self._fail(FailureKind.MODEL_MISMATCH, what, Stage.INFERENCE, stages)
        return None

    def _fail(
        self,
        kind: FailureKind,
        what: str,
        stage: Stage,
        stages: dict[str, float],
        *,
        todo: str | None = None,
        retryable: bool | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
        counts: bool = True,
    ) -> Failure:
        return failure(
            kind,
            what,
            Where(self._provider.name, stage, stages),
            todo=todo,
            retryable=retryable,
            http_status=http_status,
            retry_after_s=None if retry_after_s is None else min(retry_after_s, MAX_RETRY_AFTER_S),
            counts=counts,
        )

    def _words(self, text: str) -> str:
        said = quoted(text, self._key)
        return f' ("{said}")' if said else ""

    def _stages_of(self, entry: MailboxEntry) -> dict[str, float]:
        """The mailbox's own stages, with the way to it before them and the fetching behind them."""
        told: dict[str, float] = {s.value: self._told(entry, s) for s in Stage if s.value in entry.stages_ms}
        elapsed_ms = 1000 * (self._clock.monotonic() - self._began)
        way_ms = 0.0 if self._accepted_at is None else 1000 * (self._accepted_at - self._began)
        return {
            **self.call.stages_ms,
            **told,
            Stage.CONNECT.value: way_ms + told.get(Stage.CONNECT.value, 0.0),
            Stage.FETCH.value: min(elapsed_ms, self._age_ms(entry)),
        }

    def _told(self, entry: MailboxEntry, stage: Stage) -> float:
        """Milliseconds that the mailbox states for a stage, 0 where that is no duration."""
        value = entry.stages_ms.get(stage.value, 0.0)
        return min(value, self._longest_ms()) if 0 <= value < math.inf else 0.0

    def _age_ms(self, entry: MailboxEntry) -> float:
        """How long ago the work was over, as the mailbox states it."""
        return min(entry.finished_ago_ms or 0.0, self._longest_ms())

    def _longest_ms(self) -> float:
        """What was handed in on this visit began with it, whatever the mailbox's clock says (honest-time)."""
        elapsed_ms = 1000 * (self._clock.monotonic() - self._began)
        return elapsed_ms if self.sent else _LONGEST_TOLD_MS

    def _stages(self, waiting_in: Stage) -> dict[str, float]:
        """The times so far, where no end is known: the way, then whatever was waited for last."""
        now = self._clock.monotonic()
        stages = dict(self.call.stages_ms)
        if self._accepted_at is None or self._heard_at is None:
            return _longer(stages, waiting_in, 1000 * (now - self._began))
        stages[Stage.CONNECT.value] = 1000 * (self._accepted_at - self._began)
        if waiting_in is Stage.FETCH:
            before = Stage.QUEUE if self._state is MailboxState.ACCEPTED else Stage.INFERENCE
            stages[before.value] = 1000 * (self._heard_at - self._accepted_at)
            stages[waiting_in.value] = 1000 * (now - self._heard_at)
        else:
            stages = _longer(stages, waiting_in, 1000 * (now - self._accepted_at))
        return stages

    def _wall_now(self) -> float:
        return self._began_wall + self._clock.monotonic() - self._began


def _as_cold_start(stages: dict[str, float]) -> dict[str, float]:
    """The same times, where an inference server that was not known to be warm had not answered yet."""
    rest = {name: ms for name, ms in stages.items() if name != Stage.INFERENCE.value}
    return _longer(rest, Stage.COLD_START, stages.get(Stage.INFERENCE.value, 0.0))


def _longer(stages: dict[str, float], stage: Stage, ms: float) -> dict[str, float]:
    """A call may have been held in that stage already, before it was sent."""
    return {**stages, stage.value: stages.get(stage.value, 0.0) + ms}


def _stated_kind(name: str) -> FailureKind:
    return next((kind for kind in _STATED_KINDS if kind == name), FailureKind.PROVIDER_ERROR)
