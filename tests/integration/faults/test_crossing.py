"""A response that comes twice is never the answer to the next question on the same connection."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from beacon.domain.answer import Message
from beacon.lab.proxy import fault_proxy
from beacon.lab.toxics import Toxic
from tests.integration.agents import Inference, agent, completion, serving
from tests.integration.router.conftest import DONE, answered, ask, event, router_of


async def repeats_the_question(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    said = body["messages"][-1]["content"]
    if not body["stream"]:
        return web.json_response(completion(said))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in (event(said), event(finish="stop"), DONE):
        await response.write(piece)
        await asyncio.sleep(0.01)  # the end marker is read before the last bytes come, and the copy with them
    await response.write_eof()
    return response


@pytest.mark.parametrize("transport", ["openai", "openai stream", "agent"])
async def test_each_question_gets_its_own_answer_where_all_responses_come_twice(transport, tmp_path):
    async with (
        serving(Inference(repeats_the_question)) as inference,
        agent(inference.url, tmp_path / "s.db") as mailbox,
        fault_proxy(f"{mailbox}/v1" if transport == "agent" else inference.url, [Toxic(kind="duplicated")]) as proxy,
    ):
        row = {"name": "us-a", "region": "us", "url": proxy.url, "models": ["alpha"], "concurrency": 1}
        row |= {"transport": transport.split()[0], "stream": transport == "openai stream"}
        async with router_of(row) as router:
            for number in range(20):
                asked = Message("user", f"Question {number}?")
                answer = answered(await ask(router, key=f"k.{number}", messages=(asked,)))
                assert answer.text == asked.content
    assert set(inference.keys.values()) == {1}
    assert len(inference.keys) == 20
