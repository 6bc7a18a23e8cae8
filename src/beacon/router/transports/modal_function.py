"""Modal functions, called through the package `modal` (the extra `beacon-regions[modal]`): spawned, then fetched.

The function takes a chat-completions request as a dictionary and returns the chat completion as one; a field
`region` beside the choices states where it ran. Modal keeps a result for some days under the call's id, which is
recorded as soon as it is known (https://modal.com/docs/guide/job-queue).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from importlib import import_module
from typing import Any, Protocol, cast

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.router.credentials import modal_token
from beacon.router.failures import Where, expired, failure, quoted
from beacon.router.transports.base import Call
from beacon.router.transports.completion import Completion, Malformed, StatedError
from beacon.router.transports.connection import pauses_between_tries
from beacon.router.transports.request import document_of
from beacon.router.transports.text import whole

WAIT_S = 20.0
"""How long Modal is asked to hold one look at a result. It ends a look, never a run."""

_NO_VERDICT = ("ConnectionError", "ServiceError", "InternalError", "InternalFailure", "ResourceExhaustedError")
"""Errors of the way to Modal: of a run that was begun they tell nothing."""
_GONE = ("OutputExpiredError", "NotFoundError")
_BY_OPERATOR = ("AuthError", "PermissionDeniedError", "NotFoundError", "InvalidError")
"""Errors of `spawn` that another try does not mend."""


class _Aio(Protocol):
    """A function of the package, which is called as it is from threads and as `.aio` from a loop."""

    aio: Any


class _FunctionCall(Protocol):
    object_id: str
    get: _Aio
    cancel: _Aio


class _Function(Protocol):
    spawn: _Aio


class ModalFunctionTransport:
    """`key` is an API token written `ak-…:as-…`; without one the package's own configuration counts.

    Raises InputError where the package is not installed, or the key is no such token.
    """

    def __init__(self, provider: Provider, key: str | None, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._token = _token(provider, key)
        self._app, _, self._name = (provider.function or "").partition("/")
        self._modal: Any = _package(provider)
        self._errors: Any = import_module("modal.exception")
        self._client: Any = None

    async def open(self) -> None:
        if self._token is not None:
            self._client = await self._modal.Client.from_credentials.aio(*self._token)

    async def close(self) -> None:
        """The package keeps its connections to itself."""
        self._client = None

    async def infer(self, call: Call) -> Outcome:
        """Cancelling it stops the waiting only; `withdraw` ends the run."""
        visit = _Run(self._provider, call, self._clock)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                begun = await self._spawn(visit)
                if isinstance(begun, Failure):
                    return begun
                await call.report(begun.object_id)
                return await self._until_over(visit, begun)
        except TimeoutError:
            return visit.at_deadline()

    async def fetch(self, call: Call) -> Outcome | None:
        """What became of the run of that id."""
        if call.reference is None:
            return None
        visit = _Run(self._provider, call, self._clock, Stage.FETCH)
        try:
            async with asyncio.timeout(call.deadline.left_s()):
                return await self._until_over(visit, self._call_of(call.reference))
        except TimeoutError:
            return visit.at_deadline()

    async def withdraw(self, reference: str, deadline: Deadline) -> None:
        """Ends the run, with one try."""
        call = self._call_of(reference)
        await asyncio.wait([asyncio.ensure_future(_tried(call.cancel.aio()))], timeout=deadline.left_s())

    def _call_of(self, reference: str) -> _FunctionCall:
        return cast(_FunctionCall, self._modal.FunctionCall.from_id(reference, client=self._client))

    async def _spawn(self, visit: _Run) -> _FunctionCall | Failure:
        inference = visit.call.inference
        document = document_of(visit.call, self._provider.models[inference.model])
        function: _Function = self._modal.Function.from_name(self._app, self._name, client=self._client)
        began = await _tried(function.spawn.aio(document))
        visit.sent_at = self._clock.monotonic()
        if not isinstance(began, BaseException):
            return cast(_FunctionCall, began)
        if self._is(began, *_BY_OPERATOR):
            what = f"did not take the work{_words(began)}"
            todo = "check the function's name, that it is deployed, and the token"
            return visit.failed(FailureKind.PROVIDER_ERROR, what, todo=todo, retryable=False)
        if self._is(began, "ResourceExhaustedError"):
            return visit.failed(FailureKind.RATE_LIMITED, f"did not take the work{_words(began)}")
        return visit.failed(FailureKind.OUTCOME_UNKNOWN, f"broke off while the work was handed in{_words(began)}")

    async def _until_over(self, visit: _Run, call: _FunctionCall) -> Outcome:
        """Looks until the run has ended; errors of the way are no verdict."""
        pauses = pauses_between_tries()
        while True:
            wait_s = min(WAIT_S, visit.call.deadline.left_s())
            told = await _tried(call.get.aio(timeout=wait_s))
            if not isinstance(told, BaseException):
                return visit.end(told)
            if self._is(told, *_GONE):
                return visit.failed(FailureKind.RESULT_LOST, "had begun the work and has no result of it any more")
            if self._is(told, "FunctionTimeoutError"):
                return visit.failed(FailureKind.PROVIDER_ERROR, "ended the run at the function's own time-out")
            if self._is(told, *_NO_VERDICT) or isinstance(told, OSError | EOFError):
                visit.trouble = type(told).__name__
                await asyncio.sleep(next(pauses))
            elif self._is(told, "TimeoutError") or isinstance(told, TimeoutError):
                visit.trouble = None
                pauses = pauses_between_tries()
            else:
                what = f"ended the run with {type(told).__name__}{_words(told)}"
                return visit.failed(FailureKind.PROVIDER_ERROR, what)

    def _is(self, error: BaseException, *names: str) -> bool:
        return isinstance(error, tuple(getattr(self._errors, name) for name in names))


class _Run:
    """One run: how far it came, and what its end means. `trouble` is why Modal could not be asked last time."""

    def __init__(self, provider: Provider, call: Call, clock: Clock, stage: Stage = Stage.INFERENCE) -> None:
        self.call = call
        self.trouble: str | None = None
        self.sent_at: float | None = clock.monotonic() if stage is Stage.FETCH else None
        self._provider = provider
        self._stage = stage
        self._clock = clock
        self._began = clock.monotonic()
        self._began_wall = clock.wall()

    def end(self, told: Any) -> Outcome:
        """The answer that the function returned; its statements of region and model are compared first."""
        document = told if isinstance(told, dict) else {}
        completion = Completion(self._clock.monotonic)
        try:
            completion.feed(json.dumps(document).encode())
            completion.finish()
        except (TypeError, ValueError):
            return self.failed(FailureKind.PROTOCOL_ERROR, "returned what is no chat completion")
        except Malformed as fault:
            return self.failed(FailureKind.PROTOCOL_ERROR, f"returned {fault}")
        except StatedError as error:
            return self.failed(FailureKind.PROVIDER_ERROR, f"returned an error{_words(error)}")
        region = document.get("region")
        stated = whole(region) if isinstance(region, str) and region else None
        return self._region_fault(stated) or self._echo_fault(completion) or self._answer(completion, stated)

    def failed(
        self, kind: FailureKind, what: str, *, todo: str | None = None, retryable: bool | None = None
    ) -> Failure:
        return failure(kind, what, self._where(), todo=todo, retryable=retryable)

    def at_deadline(self) -> Failure:
        starting = self.call.may_be_cold
        hop = f"router to the Modal function {self._provider.function}"
        hop += f", {self.trouble}" if self.trouble else ""
        return expired(self._where(Stage.COLD_START if starting else None), hop, starting=starting)

    def _answer(self, completion: Completion, stated: str | None) -> Answer:
        provider, now = self._provider, self._clock.monotonic()
        sent_at = self._began if self.sent_at is None else self.sent_at
        return Answer(
            text=completion.text,
            finish_reason=completion.finish_reason,
            provider=provider.name,
            model_echoed=completion.echoes[0] if completion.echoes else None,
            region_stated=stated,
            region_evidence="declared" if stated is None else "stated",
            upstream=None,
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            cost_usd=provider.cost.of(completion.input_tokens, completion.output_tokens),
            simulated=provider.simulated,
            replayed=False,
            started_at=self._began_wall + sent_at - self._began,
            first_token_at=None,
            finished_at=self._began_wall + now - self._began,
            duration_ms=1000 * (now - sent_at),
            stages_ms=self._stages(self._stage),
            raw_sha256=completion.raw_sha256,
        )

    def _region_fault(self, stated: str | None) -> Failure | None:
        if stated is None:
            return None
        try:
            if normalise(stated) == self._provider.region:
                return None
        except InputError:
            pass  # what cannot be a region's name is not the name of this one
        what = f'says that it ran in "{quoted(stated)}" where "{self._provider.region}" was asked'
        return self.failed(FailureKind.REGION_MISMATCH, what)

    def _echo_fault(self, completion: Completion) -> Failure | None:
        model = self.call.inference.model
        for echo in completion.echoes:
            if not self._provider.accepts_echo(model, echo):
                what = f'says that "{quoted(echo)}" answered where "{self._provider.models[model]}" was asked'
                return self.failed(FailureKind.MODEL_MISMATCH, what)
        return None

    def _where(self, waiting_in: Stage | None = None) -> Where:
        stage = Stage.CONNECT if self.sent_at is None else waiting_in or self._stage
        return Where(self._provider.name, stage, self._stages(stage))

    def _stages(self, waiting_in: Stage) -> dict[str, float]:
        now = self._clock.monotonic()
        stages = dict(self.call.stages_ms)
        stages[Stage.CONNECT.value] = 1000 * ((now if self.sent_at is None else self.sent_at) - self._began)
        if self.sent_at is not None:
            stages[waiting_in.value] = stages.get(waiting_in.value, 0.0) + 1000 * (now - self.sent_at)
        return stages


async def _tried(work: Awaitable[Any]) -> Any:
    """What `work` returns, or what it raises: the package raises whatever the remote function raised."""
    outcomes = await asyncio.gather(work, return_exceptions=True)
    return outcomes[0]


def _words(error: BaseException) -> str:
    said = quoted(str(error))
    return f' ("{said}")' if said else ""


def _package(provider: Provider) -> Any:
    try:
        return import_module("modal")
    except ModuleNotFoundError:
        raise InputError(
            "a Modal function is called through the package modal, which is not installed",
            where=f"provider {provider.name}",
            todo="pip install 'beacon-regions[modal]', or name a web endpoint with url in place of function",
        ) from None


def _token(provider: Provider, key: str | None) -> tuple[str, str] | None:
    token = modal_token(key)
    if key is not None and (token is None or not key.startswith("ak-")):
        where = f"{provider.api_key_env or provider.api_key_file} (the key of provider {provider.name})"
        raise InputError("not an API token of Modal", where=where, todo="write it as TOKEN_ID:TOKEN_SECRET, ak-…:as-…")
    return token
