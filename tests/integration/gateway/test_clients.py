"""Unmodified clients of the OpenAI API against the gateway."""

import asyncio
import json

import openai
import pytest
from aiohttp import web
from huggingface_hub import AsyncInferenceClient

from tests.integration.gateway.conftest import MODEL, gateway

TEXT = "Questions about 台湾 have answers."


def _chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice], **more}


async def answer(request: web.Request) -> web.StreamResponse:
    """As inference servers do: a document, or a stream where one is asked for."""
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    if not (await request.json()).get("stream"):
        message = {"role": "assistant", "content": TEXT}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        document = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
        return web.json_response(document | {"usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in TEXT.split(" "):
        await response.write(b"data: " + json.dumps(_chunk({"content": f"{word} "})).encode() + b"\n\n")
    await response.write(b"data: " + json.dumps(_chunk({}, "stop", usage=usage)).encode() + b"\n\ndata: [DONE]\n\n")
    return response


@pytest.fixture
async def served(serve, state):
    provider = await serve(answer)
    async with gateway(provider.provider(), provider.provider("eu-a", region="eu"), state=state) as running:
        yield running, provider


def asking(running, **more):
    headers = {"X-Beacon-Region": "us-east", **more}
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", default_headers=headers)


MESSAGES = [{"role": "user", "content": "Why?"}]


async def test_the_official_client_is_answered(served):
    running, provider = served
    async with asking(running) as client:
        answered = await client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        completion = answered.parse()
        assert completion.choices[0].message.content == TEXT
        assert completion.usage.total_tokens == 8
        assert completion.model == MODEL
        assert answered.headers["X-Beacon-Provider"] == "us-a"
        assert answered.headers["X-Beacon-Region"] == "us"
        assert 0 <= float(answered.headers["X-Beacon-Overhead-Ms"]) < 1000
        assert [model.id for model in (await client.models.list()).data] == [MODEL]
    assert len(provider.requests) == 1


async def test_the_official_client_reads_a_stream(served):
    running, provider = served
    async with asking(running) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(parts).strip() == TEXT
    assert len(parts) > 3
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_the_official_client_with_a_key_is_answered_once(served, stream):
    running, provider = served
    async with asking(running, **{"X-Beacon-Key": "k.1"}) as client:
        for _ in range(2):
            answered = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
            if stream:
                text = "".join([part.choices[0].delta.content or "" async for part in answered if part.choices])
            else:
                text = answered.choices[0].message.content
            assert text.strip() == TEXT
    assert len(provider.requests) == 1
    assert provider.requests[0][0]["X-Beacon-Key"] == "k.1"
    assert (await running.until_over("k.1"))["response"]["choices"][0]["message"]["content"].strip() == TEXT


async def test_hugging_faces_client_is_answered(served):
    running, _ = served
    async with AsyncInferenceClient(base_url=f"{running.url}/v1", headers={"X-Beacon-Region": "eu"}) as client:
        completion = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        assert completion.choices[0].message.content == TEXT
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(parts).strip() == TEXT


async def test_the_official_client_is_told_what_is_wrong(served):
    running, provider = served
    async with asking(running) as client:
        with pytest.raises(openai.NotFoundError, match="alpha"):
            await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        with pytest.raises(openai.BadRequestError, match="us, eu"):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert provider.requests == []


async def test_the_official_client_does_not_repeat_what_may_have_run(serve, state):
    async def fail(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "the GPU fell off"}}, status=500)

    provider = await serve(fail)
    async with gateway(provider.provider(), state=state) as running, asking(running) as client:
        with pytest.raises(openai.InternalServerError, match="the GPU fell off") as raised:
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert raised.value.body["kind"] == "provider_error"
    assert raised.value.body["stage"] == "inference"
    assert len(provider.requests) == 1


async def test_an_error_in_a_stream_reaches_the_official_client(serve, state):
    heard = asyncio.Event()

    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: " + json.dumps(_chunk({"content": "Well"})).encode() + b"\n\n")
        await heard.wait()
        await response.write(b'data: {"error": {"message": "out of memory"}}\n\n')
        return response

    provider = await serve(break_off)
    async with gateway(provider.provider(), state=state) as running, asking(running) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "Well"
        heard.set()
        with pytest.raises(openai.APIError, match="us-a broke off with an error"):
            await anext(stream)
