"""Modal functions by spawn and fetch, against a stand-in for the surface of the package `modal` that is used.

The stand-in raises the package's own kinds of errors, as read in modal 1.6; nothing here reaches Modal.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.errors import DocumentError
from tests.integration.router.conftest import MODEL, answered, ask, document, failed, inference, router_of

_ERRORS = {
    "Error": Exception,
    "TimeoutError": "Error",
    "OutputExpiredError": "TimeoutError",
    "FunctionTimeoutError": "TimeoutError",
    "ConnectionError": "Error",
    "ServiceError": "Error",
    "InternalError": "Error",
    "InternalFailure": "Error",
    "ResourceExhaustedError": "Error",
    "NotFoundError": "Error",
    "AuthError": "Error",
    "PermissionDeniedError": "Error",
    "InvalidError": "Error",
}


class FakeModal(ModuleType):
    """`spawned` holds the requests, `acts` what the next looks at a result do: raise an error, or return a value."""

    def __init__(self) -> None:
        super().__init__("modal")
        self.exception = ModuleType("modal.exception")
        for name, base in _ERRORS.items():
            kind = getattr(self.exception, base) if isinstance(base, str) else base
            setattr(self.exception, name, type(name, (kind,), {}))
        self.spawned: list[dict[str, Any]] = []
        self.looked_up: list[tuple[str, str, Any]] = []
        self.acts: list[Any] = []
        self.refusal: BaseException | None = None
        self.finished = asyncio.Event()
        self.finished.set()
        self.cancelled: list[str] = []
        self.result: Any = document()
        self.Function = SimpleNamespace(from_name=self._function)
        self.FunctionCall = SimpleNamespace(from_id=lambda own_id, client=None: self._call(own_id))
        self.Client = SimpleNamespace(from_credentials=_aio(self._client))

    def error(self, name: str, text: str = "so it is") -> BaseException:
        return getattr(self.exception, name)(text)

    async def _client(self, token_id: str, token_secret: str) -> str:
        return f"client of {token_id}"

    def _function(self, app: str, name: str, client: Any = None) -> SimpleNamespace:
        self.looked_up.append((app, name, client))
        return SimpleNamespace(spawn=_aio(self._spawn))

    async def _spawn(self, request: dict[str, Any]) -> SimpleNamespace:
        if self.refusal is not None:
            raise self.refusal
        self.spawned.append(request)
        return self._call(f"fc-{len(self.spawned)}")

    def _call(self, own_id: str) -> SimpleNamespace:
        async def get(timeout: float | None = None) -> Any:
            if self.acts:
                act = self.acts.pop(0)
                if isinstance(act, BaseException):
                    raise act
                return act
            await asyncio.wait_for(self.finished.wait(), timeout)
            return self.result

        async def cancel() -> None:
            self.cancelled.append(own_id)

        return SimpleNamespace(object_id=own_id, get=_aio(get), cancel=_aio(cancel))


def _aio(function: Callable[..., Any]) -> SimpleNamespace:
    return SimpleNamespace(aio=function)


@pytest.fixture
def modal(monkeypatch) -> FakeModal:
    fake = FakeModal()
    monkeypatch.setitem(sys.modules, "modal", fake)
    monkeypatch.setitem(sys.modules, "modal.exception", fake.exception)
    return fake


def provider(**fields: Any) -> dict[str, Any]:
    given = {"name": "us-f", "region": "us", "transport": "modal", "function": "beacon/complete", "models": [MODEL]}
    return {**given, **fields}


async def asked(deadline_s: float = 30.0, environ: dict[str, str] | None = None, **fields: Any):
    async with router_of(provider(**fields), environ=environ) as router:
        return await ask(router, deadline_s=deadline_s)


async def test_a_function_is_spawned_once_and_its_answer_says_where_it_ran(modal):
    modal.result = document(region="us-west")
    answer = answered(await asked())
    assert (answer.text, answer.region_stated, answer.region_evidence) == ("Hello", "us-west", "stated")
    (request,) = modal.spawned
    assert request["model"] == MODEL
    assert request["messages"][1]["content"] == "Où est 台湾?"
    assert modal.looked_up == [("beacon", "complete", None)]


async def test_errors_of_the_way_are_no_verdict_and_a_look_that_ran_out_is_repeated(modal):
    modal.acts = [
        modal.error("ConnectionError"),
        TimeoutError(),
        modal.error("InternalFailure"),
        ConnectionResetError(),
    ]
    assert answered(await asked()).text == "Hello"
    assert len(modal.spawned) == 1


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("OutputExpiredError", FailureKind.RESULT_LOST),
        ("NotFoundError", FailureKind.RESULT_LOST),
        ("FunctionTimeoutError", FailureKind.PROVIDER_ERROR),
    ],
)
async def test_how_modal_says_that_a_run_has_no_result(modal, name, kind):
    modal.acts = [modal.error(name)]
    assert failed(await asked()).kind is kind


async def test_what_the_function_raises_is_the_providers_error(modal):
    modal.acts = [ValueError("no such model")]
    failure = failed(await asked())
    assert failure.kind is FailureKind.PROVIDER_ERROR
    assert 'ended the run with ValueError ("no such model")' in failure.message


@pytest.mark.parametrize(
    ("name", "kind", "retryable"),
    [
        ("AuthError", FailureKind.PROVIDER_ERROR, False),
        ("NotFoundError", FailureKind.PROVIDER_ERROR, False),
        ("ResourceExhaustedError", FailureKind.RATE_LIMITED, True),
        ("ConnectionError", FailureKind.OUTCOME_UNKNOWN, True),
    ],
)
async def test_work_that_was_not_taken(modal, name, kind, retryable):
    modal.refusal = modal.error(name)
    failure = failed(await asked())
    assert (failure.kind, failure.retryable) == (kind, retryable)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (document(region="eu"), FailureKind.REGION_MISMATCH),
        (document(model="other"), FailureKind.MODEL_MISMATCH),
        ("a text", FailureKind.PROTOCOL_ERROR),
        ({"choices": object()}, FailureKind.PROTOCOL_ERROR),
    ],
)
async def test_what_is_no_answer_of_the_cell(modal, result, kind):
    modal.acts = [{**result} if isinstance(result, dict) else result]
    assert failed(await asked()).kind is kind


async def test_the_deadline_names_the_function(modal):
    modal.finished.clear()
    failure = failed(await asked(deadline_s=0.2))
    assert (failure.kind, failure.stage) == (FailureKind.DEADLINE_EXPIRED, Stage.INFERENCE)
    assert "router to the Modal function beacon/complete" in failure.message


async def test_the_calls_id_is_reported_and_fetches_or_withdraws_the_run(modal):
    modal.finished.clear()
    told: list[str] = []
    known = asyncio.Event()

    async def report(reference: str) -> None:
        told.append(reference)
        known.set()

    deadline = Deadline.after(30, SystemClock())
    async with router_of(provider()) as router:
        placement = await router.place(MODEL, "us")
        sending = asyncio.create_task(placement.send(inference(), deadline, report))
        await asyncio.wait_for(known.wait(), 30)
        sending.cancel()
        await asyncio.wait({sending})
        placement.release()
        assert told == ["fc-1"]
        modal.finished.set()
        assert answered(await router.fetch("us-f", inference(), deadline, "fc-1")).text == "Hello"
        await router.cancel("us-f", "att_1", deadline, "fc-1")
    assert modal.cancelled == ["fc-1"]
    assert len(modal.spawned) == 1


async def test_a_token_of_the_operator_is_used_and_a_bad_one_is_named_but_not_shown(modal):
    answered(await asked(api_key_env="TOKEN", environ={"TOKEN": "ak-1:as-2"}))
    assert modal.looked_up == [("beacon", "complete", "client of ak-1")]
    with pytest.raises(DocumentError) as refused:
        router_of(provider(api_key_env="TOKEN"), environ={"TOKEN": "secret"})
    assert "not an API token of Modal" in refused.value.explain()
    assert "secret" not in refused.value.explain()


def test_without_the_package_the_fleet_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "modal", None)
    with pytest.raises(DocumentError, match="fault") as refused:
        router_of(provider())
    assert "pip install 'beacon-regions[modal]'" in refused.value.explain()
