"""The openai transport against real servers: what is sent, and what an answer is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiohttp import web

from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.errors import InputError
from tests.integration.router.conftest import (
    DONE,
    MODEL,
    answered,
    ask,
    ask_once,
    event,
    failed,
    inference,
    router_of,
    says,
    streams,
)


async def test_a_plain_answer(serve) -> None:
    provider = await serve(says("Hello", headers={"X-Upstream": "Somewhere"}))
    before = time.time()
    cost = {"input_per_mtok": 1.0, "output_per_mtok": 2.0}
    answer = answered(await ask_once(provider.provider(upstream_header="X-Upstream", cost=cost)))
    assert (answer.text, answer.finish_reason, answer.provider) == ("Hello", "stop", "us-a")
    assert (answer.model_echoed, answer.upstream) == (MODEL, "Somewhere")
    assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (1000, 500, pytest.approx(0.002))
    assert (answer.simulated, answer.replayed, answer.retracted) == (False, False, False)
    assert before - 1 <= answer.started_at <= answer.finished_at <= time.time() + 1
    assert answer.duration_ms == pytest.approx(1000 * (answer.finished_at - answer.started_at), abs=0.01)
    assert set(answer.stages_ms) == {"route", "connect", "inference"}
    assert min(answer.stages_ms.values()) >= 0
    assert answer.first_token_at is None
    assert answer.raw_sha256 is not None


async def test_a_streamed_answer(serve) -> None:
    usage = event(usage={"prompt_tokens": 3, "completion_tokens": 2})
    pieces = event(""), event("Où est "), event("台湾?"), event(finish="stop"), usage, DONE
    provider = await serve(streams(*pieces))
    answer = answered(await ask_once(provider.provider(stream=True)))
    assert (answer.text, answer.finish_reason) == ("Où est 台湾?", "stop")
    assert (answer.input_tokens, answer.output_tokens) == (3, 2)
    assert answer.first_token_at is not None
    assert answer.started_at <= answer.first_token_at <= answer.finished_at


async def test_a_stream_cut_into_single_bytes_is_the_same_answer(serve) -> None:
    body = b": hello\r\n\r\n" + (event("Où est 台湾?", "stop") + DONE).replace(b"\n", b"\r\n")
    provider = await serve(streams(*(body[n : n + 1] for n in range(len(body)))))
    assert answered(await ask_once(provider.provider(stream=True))).text == "Où est 台湾?"


async def test_what_the_provider_receives(serve) -> None:
    provider = await serve(says())
    models = {MODEL: "vendor/Alpha-1"}
    given = provider.provider(models=models, echoes={MODEL: [MODEL]}, api_key_env="KEY")
    async with router_of(given, environ={"KEY": " secret-1 \n"}) as router:
        answered(await ask(router, deadline_s=30, key="att_9", attempt=3, top_p=0.9))
    ((headers, sent),) = provider.requests
    assert sent == {
        "model": "vendor/Alpha-1",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Où est 台湾?"}],
        "temperature": 0.7,
        "max_tokens": 400,
        "top_p": 0.9,
        "stream": False,
    }
    assert (headers["X-Beacon-Key"], headers["X-Beacon-Attempt"]) == ("att_9", "3")
    assert 0 < int(headers["X-Beacon-Deadline-Ms"]) <= 30_000
    assert headers["Authorization"] == "Bearer secret-1"
    assert headers["Content-Type"] == "application/json"


async def test_a_streaming_provider_is_asked_for_its_usage_and_a_keyless_one_gets_no_key(serve) -> None:
    provider = await serve(streams(event("Hello", "stop"), DONE))
    answered(await ask_once(provider.provider(stream=True)))
    ((headers, sent),) = provider.requests
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "top_p" not in sent
    assert "Authorization" not in headers


async def test_the_key_may_stand_in_a_file_beside_the_fleet(serve, tmp_path: Path) -> None:
    provider = await serve(says())
    (tmp_path / "key.txt").write_text("secret-2\n")
    async with router_of(provider.provider(api_key_file="key.txt"), base=tmp_path) as router:
        answered(await ask(router))
    assert provider.requests[0][0]["Authorization"] == "Bearer secret-2"


@pytest.mark.parametrize("value", [None, "", "two\nlines", "schlüssel"])
def test_a_key_that_cannot_be_used_is_refused_at_the_start_and_not_shown(value: str | None) -> None:
    provider = {
        "name": "us-a",
        "region": "us",
        "transport": "openai",
        "url": "http://127.0.0.1:9/v1",
        "models": [MODEL],
    }
    environ = {} if value is None else {"US_KEY": value}
    with pytest.raises(InputError) as refused:
        router_of({**provider, "api_key_env": "US_KEY"}, environ=environ)
    assert "US_KEY" in str(refused.value)
    assert not value or value not in str(refused.value)


def test_a_missing_key_file_is_refused_with_its_path(tmp_path: Path) -> None:
    provider = {
        "name": "us-a",
        "region": "us",
        "transport": "openai",
        "url": "http://127.0.0.1:9/v1",
        "models": [MODEL],
    }
    with pytest.raises(InputError) as refused:
        router_of({**provider, "api_key_file": "key.txt"}, base=tmp_path)
    assert str(tmp_path / "key.txt") in str(refused.value)


async def test_an_empty_text_with_a_normal_finish_is_an_answer(serve) -> None:
    plain, streamed = await serve(says(None)), await serve(streams(event("", "stop"), DONE))
    for given in (plain.provider(), streamed.provider(stream=True)):
        answer = answered(await ask_once(given))
        assert (answer.text, answer.finish_reason, answer.retracted) == ("", "stop", False)


async def test_text_withdrawn_by_a_filter_is_kept_and_marked(serve) -> None:
    provider = await serve(streams(event("Taiwan is"), event(finish="content_filter"), DONE))
    answer = answered(await ask_once(provider.provider(stream=True)))
    assert (answer.text, answer.finish_reason, answer.retracted) == ("Taiwan is", "content_filter", True)
    nothing_streamed = await serve(streams(event(finish="content_filter"), DONE))
    assert not answered(await ask_once(nothing_streamed.provider(stream=True))).retracted


async def test_a_document_where_a_stream_was_asked_for_and_the_reverse(serve) -> None:
    plain, streamed = await serve(says("Hello")), await serve(streams(event("Hello", "stop"), DONE))
    assert answered(await ask_once(plain.provider(stream=True))).text == "Hello"
    assert answered(await ask_once(streamed.provider(stream=False))).text == "Hello"


@pytest.mark.parametrize(
    ("header", "evidence", "stated"),
    [({}, "declared", None), ({"X-Region": "us-east-1"}, "stated", "us-east-1"), ({"X-Region": " "}, "declared", None)],
)
async def test_region_evidence(serve, header, evidence, stated) -> None:
    provider = await serve(says(headers=header))
    answer = answered(await ask_once(provider.provider(region_header="X-Region")))
    assert (answer.region_evidence, answer.region_stated) == (evidence, stated)


async def test_a_region_header_that_was_not_configured_is_not_evidence(serve) -> None:
    provider = await serve(says(headers={"X-Region": "eu"}))
    assert answered(await ask_once(provider.provider())).region_evidence == "declared"


@pytest.mark.parametrize("stated", ["eu-west-1", "unheard-of", "???"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_from_another_region_is_a_failure_of_its_own(serve, stated, stream) -> None:
    provider = await serve(says(headers={"X-Region": stated}))
    failure = failed(await ask_once(provider.provider(region_header="X-Region", stream=stream)))
    assert (failure.kind, failure.other_provider_only, failure.retryable) == (FailureKind.REGION_MISMATCH, True, True)
    assert stated in failure.message


async def test_an_answer_of_another_model_is_a_failure_of_its_own(serve) -> None:
    given = {"models": {MODEL: "vendor/Alpha-1"}, "echoes": {MODEL: ["alpha-1-2409"]}}
    for echo in ("vendor/Alpha-1", "alpha-1-2409", None):
        provider = await serve(says(model=echo))
        assert answered(await ask_once(provider.provider(**given))).model_echoed == echo
    for echo in ("alpha", "vendor/Alpha-2"):
        provider = await serve(says(model=echo))
        failure = failed(await ask_once(provider.provider(**given)))
        assert (failure.kind, failure.other_provider_only) == (FailureKind.MODEL_MISMATCH, True)
        assert echo in failure.message


async def test_a_model_that_changes_within_a_stream_is_a_mismatch(serve) -> None:
    provider = await serve(streams(event("Hel"), event("lo", "stop", model="beta"), DONE))
    assert failed(await ask_once(provider.provider(stream=True))).kind is FailureKind.MODEL_MISMATCH


async def test_simulated_answers_are_marked(serve) -> None:
    by_header = await serve(says(headers={"X-Beacon-Simulated": "true"}))
    plain = await serve(says())
    assert answered(await ask_once(by_header.provider())).simulated
    assert answered(await ask_once(plain.provider(simulated=True))).simulated
    assert not answered(await ask_once(plain.provider())).simulated


async def test_an_answer_is_whole_at_its_end_marker_though_the_connection_stays_open(serve) -> None:
    provider = await serve(streams(event("Hello", "stop"), DONE, then="hang"))
    answer = answered(await asyncio.wait_for(ask_once(provider.provider(stream=True), deadline_s=600), 30))
    assert answer.text == "Hello"


async def test_an_answer_that_is_whole_survives_a_cut_behind_it(serve) -> None:
    for then in ("cut", "reset"):
        provider = await serve(streams(event("Hello", "stop") + DONE, then=then))
        assert answered(await ask_once(provider.provider(stream=True))).text == "Hello"


async def test_a_whole_document_survives_the_loss_of_its_framing(serve) -> None:
    """The document is complete, the chunk that would end its transfer never comes."""
    body = b'{"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}'
    for then in ("cut", "reset", "hang"):
        provider = await serve(streams(body, then=then))
        assert answered(await ask_once(provider.provider(), deadline_s=1.5)).text == "Hello"


async def test_connections_are_used_again(serve) -> None:
    peers: list[object] = []

    async def script(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        stream = (await request.json())["stream"]
        return await (streams(event("Hello", "stop"), DONE) if stream else says())(request)

    provider = await serve(script)
    for stream in (False, True):
        peers.clear()
        async with router_of(provider.provider(stream=stream)) as router:
            for _ in range(20):
                answered(await ask(router))
                await asyncio.sleep(0.01)
        assert len(set(peers)) < 10


async def test_cancelling_aborts_the_request_and_gives_the_slot_back(serve) -> None:
    taken, aborted = asyncio.Event(), asyncio.Event()

    async def script(request: web.Request) -> web.StreamResponse:
        taken.set()
        try:
            await asyncio.Event().wait()  # the server cancels this when the client has gone
        finally:
            aborted.set()
        return web.Response()

    provider = await serve(script)
    async with router_of(provider.provider(concurrency=1)) as router:
        task = asyncio.create_task(ask(router, deadline_s=600))
        await taken.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(aborted.wait(), 30)
        assert router.snapshot()[0].in_flight == 0


async def test_a_slot_serves_one_inference_of_its_own_cell(serve) -> None:
    provider = await serve(says())
    async with router_of(provider.provider(models=[MODEL, "beta"])) as router:
        placement = await router.place(MODEL, "us")
        deadline = Deadline.after(30, SystemClock())
        for other in (inference(model="beta"), inference(region="eu")):
            with pytest.raises(ValueError, match="cannot serve"):
                await placement.send(other, deadline)
        assert provider.requests == []
        answered(await placement.send(inference(), deadline))
        with pytest.raises(ValueError, match="one inference"):
            await placement.send(inference(), deadline)
        placement.release()
        placement.release()
        assert router.snapshot()[0].in_flight == 0
    assert len(provider.requests) == 1


async def test_a_deadline_that_has_passed_sends_nothing(serve) -> None:
    provider = await serve(says())
    failure = failed(await ask_once(provider.provider(), deadline_s=0))
    assert (failure.kind, failure.stage) == (FailureKind.DEADLINE_EXPIRED, Stage.ROUTE)
    assert provider.requests == []
