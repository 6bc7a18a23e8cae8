"""The simulated providers speak the OpenAI API and say that they are simulated."""

from __future__ import annotations

import pytest

from beacon.lab.fleet import start_lab
from beacon.lab.knowledge import built_in_questions

LLAMA = "meta-llama/Llama-3.2-1B-Instruct"


@pytest.fixture
def us(instant) -> str:
    return f"{instant.url('us')}/v1"


async def test_an_answer_has_the_shape_of_a_chat_completion(ask, us):
    reply = await ask(us, LLAMA, max_tokens=400, temperature=0.7)
    value = reply.json

    assert reply.status == 200
    assert value["object"] == "chat.completion"
    assert value["model"] == LLAMA
    assert value["choices"][0]["message"]["role"] == "assistant"
    assert value["choices"][0]["finish_reason"] == "stop"
    assert len(reply.text.split()) >= 60
    usage = value["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] > 50
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


async def test_a_stream_gives_the_same_answer_in_pieces_with_its_usage_and_end_marker(ask, us):
    whole = await ask(us, LLAMA, key="stream-or-not")
    reply = await ask(us, LLAMA, key="stream-or-not", stream=True, stream_options={"include_usage": True})

    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.events[-1] == "[DONE]"
    assert len(reply.chunks) > 5
    assert reply.text == whole.text
    assert reply.chunks[-1]["usage"] == whole.json["usage"]
    assert {chunk["id"] for chunk in reply.chunks} == {whole.json["id"]}


async def test_usage_is_not_streamed_unasked(ask, us):
    reply = await ask(us, LLAMA, stream=True)

    assert all("usage" not in chunk for chunk in reply.chunks)


@pytest.mark.parametrize("stream", [False, True])
async def test_everything_is_marked_simulated(ask, us, instant, stream):
    reply = await ask(us, LLAMA, stream=stream)

    assert reply.headers["X-Beacon-Simulated"] == "true"
    assert reply.headers["X-Region"] == "us"
    assert reply.headers["X-Upstream"] == "beacon-lab"
    fingerprints = [chunk["system_fingerprint"] for chunk in (reply.chunks if stream else [reply.json])]
    assert set(fingerprints) == {"beacon-lab"}
    assert all(provider.simulated for provider in instant.fleet.providers)


async def test_an_answer_longer_than_allowed_is_cut(ask, us):
    reply = await ask(us, LLAMA, max_tokens=20)

    assert reply.json["choices"][0]["finish_reason"] == "length"
    assert reply.json["usage"]["completion_tokens"] == 20


async def test_a_question_of_a_built_in_pack_is_answered_with_its_facts(ask, us):
    question = next(q for q in built_in_questions() if q.facts and "en" in q.texts)
    reply = await ask(us, LLAMA, question.texts["en"])

    assert question.facts[0].statement.rstrip(".") in reply.text


async def test_models_and_health_are_told(session, instant):
    async with session.get(f"{instant.url('eu')}/v1/models") as response:
        listed = (await response.json())["data"]
    async with session.get(f"{instant.url('eu')}/healthz") as response:
        health = await response.json()

    assert {model["id"] for model in listed} == set(instant.world.models.values())
    assert health == {"status": "ok", "region": "eu", "simulated": True}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_unknown_model_is_a_404_that_names_it(ask, us, stream):
    reply = await ask(us, "gpt-9", stream=stream)

    assert reply.status == 404
    assert reply.json["error"]["code"] == "model_not_found"
    assert "'gpt-9'" in reply.json["error"]["message"]


async def test_a_bad_body_is_a_400_that_names_the_field(session, us):
    async with session.post(f"{us}/chat/completions", json={"model": LLAMA, "messages": []}) as response:
        assert response.status == 400
        error = (await response.json())["error"]
    async with session.post(f"{us}/chat/completions", data=b"{not json") as response:
        assert response.status == 400

    assert (error["param"], error["type"]) == ("messages", "invalid_request_error")


async def test_other_addresses_and_methods_are_refused(session, us):
    async with session.get(f"{us}/completions") as response:
        assert response.status == 404
    async with session.get(f"{us}/chat/completions") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


async def test_a_wrong_api_key_is_a_401(ask, monkeypatch):
    monkeypatch.setenv("LAB_TEST_KEY", "right")
    async with start_lab("instant", regions=("us",), api_key_env="LAB_TEST_KEY") as lab:
        url = f"{lab.url('us')}/v1"
        replies = [
            await ask(url, LLAMA),
            await ask(url, LLAMA, headers={"Authorization": "Bearer wrong"}),
            await ask(url, LLAMA, headers={"Authorization": "Bearer right"}),
        ]
        env_of_fleet = lab.fleet.providers[0].api_key_env

    assert [reply.status for reply in replies] == [401, 401, 200]
    assert replies[0].json["error"]["code"] == "invalid_api_key"
    assert env_of_fleet == "LAB_TEST_KEY"
