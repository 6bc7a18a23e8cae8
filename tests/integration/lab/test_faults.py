"""Each scripted fault, as a client sees it."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from beacon.lab.fleet import open_lab

FAULTS = {
    "fails": {"kind": "error", "status": 500, "message": "out of memory"},
    "busy": {"kind": "error", "status": 503, "retry_after": "7s"},
    "twice": {"kind": "error", "status": 502, "first_attempts": 2},
    "sometimes": {"kind": "error", "rate": 0.3},
    "reset": {"kind": "reset"},
    "cut": {"kind": "cut"},
    "truncated": {"kind": "truncated"},
    "no-done": {"kind": "no_done"},
    "error-event": {"kind": "error_event"},
    "empty-body": {"kind": "empty_body"},
    "hang": {"kind": "hang"},
    "stall": {"kind": "stall"},
    "wrong-model": {"kind": "wrong_model"},
    "wrong-region": {"kind": "wrong_region"},
    "redirect": {"kind": "redirect"},
}
OUTCOMES = ("refusal", "evasive", "empty", "length", "content_filter", "retracted")


@pytest.fixture(scope="module")
def lab(world_file):
    behaviours = {model: {"faults": [fault]} for model, fault in FAULTS.items()}
    behaviours |= {outcome: {"answers": {outcome: 1.0}} for outcome in OUTCOMES}
    with open_lab(world_file(behaviours), regions=("us",)) as running:
        yield running


@pytest.fixture
def url(lab) -> str:
    return f"{lab.url('us')}/v1"


streamed = pytest.mark.parametrize("stream", [False, True])


@streamed
async def test_an_error_has_its_status_and_message(ask, url, stream):
    reply = await ask(url, "fails", stream=stream)

    assert reply.status == 500
    assert reply.json["error"]["message"] == "out of memory"
    assert "Retry-After" not in reply.headers


async def test_an_error_may_say_when_to_come_back(ask, url):
    reply = await ask(url, "busy")

    assert (reply.status, reply.headers["Retry-After"]) == (503, "7")


async def test_a_fault_of_the_first_attempts_is_over_with_the_third(ask, url):
    statuses = [(await ask(url, "twice", attempt=attempt)).status for attempt in (None, 1, 2, 3, 4)]

    assert statuses == [502, 502, 502, 200, 200]


async def test_a_fault_by_rate_strikes_as_often_as_it_says(ask, url):
    statuses = [(await ask(url, "sometimes")).status for _ in range(200)]

    assert 35 <= statuses.count(500) <= 85
    assert statuses.count(500) + statuses.count(200) == 200


@streamed
async def test_a_reset_comes_before_any_answer(ask, url, stream):
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(url, "reset", stream=stream)


@streamed
async def test_a_cut_comes_within_the_answer(session, url, stream):
    body = {"model": "cut", "messages": [{"role": "user", "content": "Why?"}], "stream": stream}
    async with session.post(f"{url}/chat/completions", json=body) as response:
        assert response.status == 200
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await response.read()


async def test_a_truncated_body_ends_cleanly_and_is_no_json(ask, url):
    reply = await ask(url, "truncated")

    assert reply.status == 200
    assert len(reply.body) > 50
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.body)


async def test_a_truncated_stream_ends_cleanly_within_an_event(ask, url):
    reply = await ask(url, "truncated", stream=True)

    assert reply.status == 200
    assert b"[DONE]" not in reply.body
    assert not reply.body.endswith(b"\n\n")


async def test_a_stream_without_end_marker_has_all_the_rest(ask, url):
    reply = await ask(url, "no-done", stream=True)

    assert reply.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert b"[DONE]" not in reply.body


async def test_an_error_event_comes_after_half_the_text(ask, url):
    reply = await ask(url, "error-event", stream=True)

    assert reply.status == 200
    assert len(reply.text) > 50
    assert reply.chunks[-1]["error"]["type"] == "server_error"
    assert b"[DONE]" not in reply.body


async def test_without_a_stream_the_error_is_the_body_of_a_200(ask, url):
    reply = await ask(url, "error-event")

    assert reply.status == 200
    assert set(reply.json) == {"error"}


@streamed
async def test_an_empty_200(ask, url, stream):
    reply = await ask(url, "empty-body", stream=stream)

    assert (reply.status, reply.body) == (200, b"")


@streamed
async def test_a_hanging_request_gets_nothing(ask, url, stream):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(url, "hang", stream=stream), timeout=0.3)


@streamed
async def test_a_stalled_answer_begins_and_falls_silent(session, url, stream):
    body = {"model": "stall", "messages": [{"role": "user", "content": "Why?"}], "stream": stream}
    async with session.post(f"{url}/chat/completions", json=body) as response:
        first = await response.content.readany()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.read(), timeout=0.3)

    assert len(first) > 50


@streamed
async def test_another_model_is_echoed(ask, url, stream):
    reply = await ask(url, "wrong-model", stream=stream)

    assert (reply.chunks[0] if stream else reply.json)["model"] == "beacon-lab/another-model"


@streamed
async def test_another_region_is_stated(ask, url, stream):
    reply = await ask(url, "wrong-region", stream=stream)

    assert reply.headers["X-Region"] == "elsewhere"


@streamed
@pytest.mark.parametrize(
    ("outcome", "finish", "has_text"),
    [
        ("refusal", "stop", True),
        ("evasive", "stop", True),
        ("empty", "stop", False),
        ("length", "length", True),
        ("content_filter", "content_filter", False),
        ("retracted", "content_filter", True),
    ],
)
async def test_answers_of_every_class_end_as_they_should(ask, url, outcome, finish, has_text, stream):
    reply = await ask(url, outcome, stream=stream)
    choices = [chunk["choices"][0] for chunk in reply.chunks] if stream else reply.json["choices"]

    assert choices[-1]["finish_reason"] == finish
    assert bool(reply.text) == has_text


async def test_what_struck_is_recorded_and_a_client_that_left_is_told_apart(lab, ask, url):
    await lab.reset()
    await ask(url, "fails")
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(url, "reset")
    rows = await lab.requests()

    assert [(row["outcome"], row["status"]) for row in rows] == [("error", 500), ("reset", 0)]


async def test_a_client_that_leaves_is_recorded(ask, world_file):
    with open_lab(world_file({"slow": {"latency": "20s"}}), regions=("us",)) as slow:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(f"{slow.url('us')}/v1", "slow"), timeout=0.5)
        for _ in range(100):
            rows = await slow.requests()
            if rows and rows[0]["outcome"] != "open":
                break
            await asyncio.sleep(0.02)
        stats = (await slow.stats())[0]

    assert rows[0]["outcome"] == "client_left"
    assert stats["in_flight"] == 0


async def test_a_redirect_leads_to_where_no_result_is(session, url):
    body = {"model": "redirect", "messages": [{"role": "user", "content": "Why?"}]}
    async with session.post(f"{url}/chat/completions", json=body, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/v1/results")
        assert await response.read() == b""
