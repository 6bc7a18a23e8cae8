"""Keys in what a provider says, and in what a programmer might print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from beacon.domain.answer import Answer
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Fleet
from beacon.router.redaction import without_key
from beacon.router.router import Router
from tests.unit.router.test_health import ANSWER

KEY = "sk-secret-123"


def test_a_key_is_cut_out_of_every_text_of_an_answer_and_nothing_else_changes() -> None:
    said = f"Bearer {KEY}"
    loud = replace(ANSWER, text=f"{said}, {said}", finish_reason=said, model_echoed=said, upstream=said)
    quiet = without_key(replace(loud, region_stated=said), KEY)
    assert isinstance(quiet, Answer)
    assert KEY not in repr(quiet)
    assert quiet.text == "Bearer [key], Bearer [key]"
    assert quiet.duration_ms == ANSWER.duration_ms
    assert without_key(ANSWER, KEY) is ANSWER


def test_a_key_is_cut_out_of_a_failure() -> None:
    failure = Failure(FailureKind.PROVIDER_ERROR, Stage.INFERENCE, f"it said {KEY}", retryable=True)
    quiet = without_key(failure, KEY)
    assert isinstance(quiet, Failure)
    assert quiet.message == "it said [key]"


def test_letters_that_are_no_secret_stay_in_answers() -> None:
    assert without_key(ANSWER, "Hello") is ANSWER
    assert without_key(ANSWER, None) is ANSWER


def test_nothing_that_holds_a_key_shows_it() -> None:
    row = {"name": "a", "region": "us", "url": "http://127.0.0.1:9/v1", "models": ["alpha"], "api_key_env": "A_KEY"}
    for transport in ("openai", "agent"):
        fleet = Fleet.model_validate({"providers": [{**row, "transport": transport}]})
        router = Router(fleet, base=Path(), environ={"A_KEY": KEY})
        for lane in router._registry.lanes.values():
            assert KEY not in repr(lane) + repr(lane.transport) + repr(lane.snapshot()) + repr(router) + repr(fleet)
