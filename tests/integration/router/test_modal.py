"""The modal transport: one run and one answer over any chain of redirects, whatever becomes of the connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.lab.modal_like import Journey, ModalLike, serving
from beacon.router.transports import modal as transport
from tests.integration.router.conftest import MODEL, answered, ask, ask_once, failed, inference, router_of


def provider(modal: ModalLike, **fields: Any) -> dict[str, Any]:
    given = {"name": "us-modal", "region": "us", "transport": "modal", "url": modal.url, "models": [MODEL]}
    return {**given, "stream": False, **fields}


async def asked_of(modal: ModalLike, *, deadline_s: float = 30.0, environ: dict[str, str] | None = None, **fields: Any):
    async with router_of(provider(modal, **fields), environ=environ) as router:
        return await ask(router, deadline_s=deadline_s)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("legs", [0, 1, 2, 3])
async def test_a_chain_of_redirects_is_one_run_and_one_answer(legs, stream, absolute):
    modal = ModalLike(region="us-east")
    async with serving(modal):
        origin = modal.url.removesuffix("/v1")
        modal.journey = Journey(legs, location=(lambda path: origin + path) if absolute else str)
        answer = answered(await asked_of(modal, stream=stream, region_header="X-Region"))
    assert answer.text == "The answer of run fc-1."
    assert (answer.region_stated, answer.region_evidence) == ("us-east", "stated")
    assert modal.runs == {"att_1": 1}
    # A slow machine may miss a leg: then the run is over before it is asked for the second time.
    methods = [method for method, _ in modal.seen]
    assert methods == ["POST"] + ["GET"] * (len(methods) - 1)
    assert min(legs, 1) <= len(methods) - 1 <= legs
    assert answer.duration_ms >= 1000 * legs * modal.leg_s


@pytest.mark.parametrize("how", ["cut", "torn"])
@pytest.mark.parametrize(("legs", "leg"), [(1, 2), (2, 2), (2, 3), (3, 2), (3, 3), (3, 4)])
async def test_a_cut_of_any_leg_after_the_first_redirect_loses_nothing_and_starts_no_second_run(legs, leg, how):
    async with serving(ModalLike(Journey(legs, **{how: frozenset({leg})}))) as modal:
        answer = answered(await asked_of(modal))
    assert answer.text == "The answer of run fc-1."
    assert modal.runs == {"att_1": 1}
    assert [method for method, _ in modal.seen].count("POST") == 1


@pytest.mark.parametrize("how", ["cut", "torn"])
async def test_a_cut_of_the_first_leg_leaves_the_outcome_unknown(how):
    """There is no Location yet to fetch by."""
    async with serving(ModalLike(Journey(**{how: frozenset({1})}))) as modal:
        failure = failed(await asked_of(modal))
    assert failure.kind is FailureKind.OUTCOME_UNKNOWN
    assert failure.message.startswith("us-modal was cut off after the request was sent")
    assert modal.runs == {"att_1": 1}


async def test_a_redirect_to_another_origin_is_refused_and_the_other_origin_hears_nothing():
    async with serving(ModalLike()) as other, serving(ModalLike()) as modal:
        origin = other.url.removesuffix("/v1")
        modal.journey = Journey(1, location=lambda path: origin + path)
        environ = {"MODAL_PROXY": "wk-1:ws-secret"}
        failure = failed(await asked_of(modal, api_key_env="MODAL_PROXY", environ=environ))
    assert failure.kind is FailureKind.PROTOCOL_ERROR
    assert "a redirect to another origin" in failure.message
    assert "ws-secret" not in failure.message
    assert other.seen == []


@pytest.mark.parametrize(
    "location",
    [
        lambda path: None,
        lambda path: "",
        lambda path: "http://[broken",
        lambda path: "//other.example" + path,
        lambda path: "https://127.0.0.1" + path,
        lambda path: "file:///etc/passwd",
    ],
)
async def test_a_redirect_that_leads_nowhere_is_a_protocol_error(location):
    async with serving(ModalLike(Journey(1, location=location))) as modal:
        failure = failed(await asked_of(modal))
    assert failure.kind is FailureKind.PROTOCOL_ERROR
    assert "a redirect" in failure.message
    assert len(modal.seen) == 1


async def test_redirects_without_end_are_a_protocol_error_long_before_the_deadline():
    async with serving(ModalLike(Journey(endless=True))) as modal:
        failure = failed(await asked_of(modal, deadline_s=60))
    assert failure.kind is FailureKind.PROTOCOL_ERROR
    assert "redirects without end" in failure.message
    assert len(modal.seen) == 1 + transport.MOST_HASTY
    assert modal.runs == {"att_1": 1}


async def test_credentials_in_a_location_are_not_sent():
    async with serving(ModalLike()) as modal:
        host = modal.url.removesuffix("/v1").removeprefix("http://")
        modal.journey = Journey(1, location=lambda path: f"http://someone:else@{host}{path}")
        answered(await asked_of(modal))
    assert all("Authorization" not in headers for _, headers in modal.seen)


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("wk-1:ws-2", {"Modal-Key": "wk-1", "Modal-Secret": "ws-2", "Authorization": None}),
        ("plain", {"Modal-Key": None, "Modal-Secret": None, "Authorization": "Bearer plain"}),
    ],
)
async def test_a_proxy_token_goes_in_modals_own_headers_and_any_other_key_as_a_bearer(key, sent):
    async with serving(ModalLike(Journey(1))) as modal:
        answered(await asked_of(modal, api_key_env="KEY", environ={"KEY": key}))
    assert len(modal.seen) == 2
    for _, headers in modal.seen:
        assert {name: headers.get(name) for name in sent} == sent


async def test_a_secret_that_the_endpoint_repeats_is_cut_out():
    """The id of a token is no secret; the other half is cut out wherever it stands."""
    told = "wk-1:ws-very-secret"
    async with serving(ModalLike(region="us")) as modal:
        origin = modal.url.removesuffix("/v1")
        modal.journey = Journey(1, location=lambda path: f"{origin.replace('127.0.0.1', 'localhost')}/ws-very-secret")
        failure = failed(await asked_of(modal, api_key_env="KEY", environ={"KEY": told}))
    assert "to another origin" in failure.message
    assert "very-secret" not in failure.message


@pytest.mark.parametrize("status", [404, 410])
async def test_a_result_that_is_gone_is_lost_and_the_sentence_names_hop_and_seconds(status):
    async with serving(ModalLike(Journey(2, gone=status, gone_from=3))) as modal:
        failure = failed(await asked_of(modal))
    assert (failure.kind, failure.stage) == (FailureKind.RESULT_LOST, Stage.INFERENCE)
    assert f"HTTP {status}; router to http://127.0.0.1:" in failure.message
    assert "over 3 requests), 0." in failure.message
    assert modal.runs == {"att_1": 1}


async def test_the_functions_own_error_is_the_providers_verdict():
    async with serving(ModalLike(Journey(1, error=500))) as modal:
        failure = failed(await asked_of(modal))
    assert (failure.kind, failure.http_status) == (FailureKind.PROVIDER_ERROR, 500)
    assert len(modal.seen) == 2


@pytest.mark.parametrize("cold", [False, True])
async def test_a_deadline_that_passes_on_the_way_names_the_hop_and_the_stage(cold):
    async with serving(ModalLike(Journey(1_000))) as modal:
        failure = failed(await asked_of(modal, deadline_s=0.45, cold_start="60s" if cold else "0s"))
    expected = (
        (FailureKind.COLD_START_EXPIRED, Stage.COLD_START) if cold else (FailureKind.DEADLINE_EXPIRED, Stage.INFERENCE)
    )
    assert (failure.kind, failure.stage) == expected
    assert "hop: router to http://127.0.0.1:" in failure.message
    assert failure.stages_ms[expected[1]] >= 200
    assert modal.runs == {"att_1": 1}


async def test_the_reference_is_reported_before_the_end_and_fetches_the_answer_later():
    """As when the runner dies: who goes on has the reference alone."""
    told: list[str] = []
    known = asyncio.Event()

    async def report(reference: str) -> None:
        told.append(reference)
        known.set()

    async with serving(ModalLike(Journey(1))) as modal, router_of(provider(modal)) as router:
        modal.hold()
        placement = await router.place(MODEL, "us")
        deadline = Deadline.after(30, SystemClock())
        sending = asyncio.create_task(placement.send(inference(), deadline, report))
        await asyncio.wait_for(known.wait(), 30)
        sending.cancel()
        await asyncio.wait({sending})
        placement.release()
        (reference,) = told
        assert not router.keeps_results("us-modal")
        assert router.keeps_results("us-modal", reference)
        modal.let_go()
        answer = answered(await router.fetch("us-modal", inference(), deadline, reference))
    assert answer.text == "The answer of run fc-1."
    assert Stage.FETCH in answer.stages_ms
    assert reference.startswith("/v1/chat/completions?")
    assert modal.runs == {"att_1": 1}


@pytest.mark.parametrize("reference", ["/v1/chat/completions?__modal_function_call_id=fc-99", "//other.example/x", "x"])
async def test_a_reference_that_is_not_known_there_tells_nothing(reference):
    async with serving(ModalLike()) as modal, router_of(provider(modal)) as router:
        assert await router.fetch("us-modal", inference(), Deadline.after(10, SystemClock()), reference) is None


async def test_what_cannot_be_reached_is_refused_before_anything_was_sent():
    modal = ModalLike()
    async with serving(modal):
        pass
    failure = failed(await ask_once(provider(modal)))
    assert failure.kind is FailureKind.REFUSED_CONNECTION
