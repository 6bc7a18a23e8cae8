"""Work under a key: whatever is cut, its one answer is fetched, and its provider was asked once."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from tests.integration.agents import Inference, agent, completion, serving
from tests.integration.cutting import Cut, cutting
from tests.integration.gateway.conftest import MODEL, gateway

TEXT = "The one answer."
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]}


def submission(**fields):
    return {"region": "us", "model": MODEL, "request": {"messages": BODY["messages"]}, "deadline_ms": 60_000, **fields}


def text_of(entry):
    return entry["response"]["choices"][0]["message"]["content"]


@pytest.fixture
async def slow():
    """An inference server that answers when `go` is set."""
    go = asyncio.Event()

    async def act(request: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response(completion(TEXT))

    async with serving(Inference(act)) as inference:
        inference.go = go
        yield inference


def plain(inference, **fields):
    given = {"name": "us-a", "region": "us", "transport": "openai", "url": inference.url, "models": [MODEL]}
    return given | {"stream": False} | fields


CUTS = {
    "at once": Cut(up=1),
    "within the request": Cut(up=150),
    "before the answer": Cut(seconds=0.3),
    "before the answer, reset": Cut(seconds=0.3, reset=True),
    "within the head": Cut(down=30),
    "within the body": Cut(down=400),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
async def test_a_cut_between_client_and_gateway_loses_nothing(slow, state, cut, stream):
    if cut.seconds is None:
        slow.go.set()
    async with gateway(plain(slow), state=state) as running:
        async with cutting(running.url, lambda number: cut if number == 1 else None) as proxy:
            url = f"{proxy.url}/v1/chat/completions"
            headers = {"X-Beacon-Key": "k.1", "X-Beacon-Region": "us"}
            asking = running.session.post(url, json={**BODY, "stream": stream}, headers=headers)
            with pytest.raises(aiohttp.ClientError):
                await (await asking).read()
            slow.go.set()
            # What a client does then: it asks again under its key.
            async with running.session.post(url, json={**BODY, "stream": stream}, headers=headers) as answered:
                assert answered.status == 200
                assert TEXT.encode() in await answered.read()
        assert text_of(await running.until_over("k.1")) == TEXT
    assert slow.keys == {"k.1": 1}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
async def test_a_cut_between_gateway_and_agent_loses_nothing(slow, state, tmp_path, cut):
    if cut.seconds is None:
        slow.go.set()
    async with (
        agent(slow.url, tmp_path / "agent.db") as url,
        cutting(url, lambda number: cut if number <= 2 else None) as proxy,
        gateway(plain(slow, transport="agent", url=f"{proxy.url}/v1"), state=state) as running,
    ):
        assert (await running.call("PUT", "/v1/inferences/k.1", json=submission()))[0] == 202
        if cut.seconds is not None:
            async with asyncio.timeout(30):
                while proxy.cuts == 0:
                    await asyncio.sleep(0.01)
            slow.go.set()
        entry = await running.until_over("k.1")
    assert (entry["state"], text_of(entry), entry["provider"]) == ("done", TEXT, "us-a")
    assert slow.keys == {"k.1": 1}


async def test_a_cut_from_a_provider_that_keeps_nothing_is_said_to_be_unknown(slow, state):
    async with (
        cutting(slow.url, lambda _: Cut(seconds=0.2)) as proxy,
        gateway(plain(slow, url=f"{proxy.url}/v1"), state=state) as running,
    ):
        await running.call("PUT", "/v1/inferences/k.1", json=submission())
        entry = await running.until_over("k.1")
    assert (entry["state"], entry["error"]["kind"]) == ("failed", "outcome_unknown")
    assert entry["error"]["message"].startswith("us-a was cut off after the request was sent")


async def test_the_contract_of_the_mailbox(slow, state):
    async with gateway(plain(slow), state=state) as running:
        assert (await running.call("GET", "/v1/inferences/k.1"))[0] == 404
        status, entry = await running.call("PUT", "/v1/inferences/k.1", json=submission(region="us-east"))
        assert (status, entry["state"], entry["region"], entry["provider"]) == (202, "running", "us", "us-a")
        assert (await running.call("PUT", "/v1/inferences/k.1", json=submission(region="us-east")))[0] == 200
        assert (await running.call("PUT", "/v1/inferences/k.1", json=submission(region="eu")))[0] == 409
        slow.go.set()
        entry = await running.until_over("k.1")
        assert (entry["state"], text_of(entry)) == ("done", TEXT)
        assert entry == {**(await running.until_over("k.1")), "finished_ago_ms": entry["finished_ago_ms"]}
        status, refused = await running.call("PUT", "/v1/inferences/k.2", json=submission(region="mars"))
        assert (status, refused["error"]["kind"]) == (422, "region_mismatch")
        assert "us" in refused["error"]["message"]
        status, refused = await running.call("PUT", "/v1/inferences/k.3", json=submission(model="beta"))
        assert (status, refused["error"]["kind"]) == (422, "model_mismatch")
        status, refused = await running.call("PUT", "/v1/inferences/k.4", json=submission(provider="us-z"))
        assert (status, refused["error"]["kind"]) == (422, "model_mismatch")
        assert (await running.call("PUT", "/v1/inferences/a%20b", json=submission()))[0] == 400
    assert slow.keys == {"k.1": 1}


async def test_withdrawn_work_ends_and_its_provider_hears_of_it(slow, state):
    async with gateway(plain(slow), state=state) as running:
        await running.call("PUT", "/v1/inferences/k.1", json=submission())
        async with asyncio.timeout(30):
            while not slow.keys:
                await asyncio.sleep(0.01)
        status, entry = await running.call("DELETE", "/v1/inferences/k.1")
        assert (status, entry["state"], entry["error"]["kind"]) == (200, "cancelled", "cancelled")
        async with asyncio.timeout(30):
            await slow.aborted.wait()


async def test_a_deadline_in_the_queue_and_at_the_provider_are_told_apart(slow, state):
    async with gateway(plain(slow, concurrency=1), state=state) as running:
        await running.call("PUT", "/v1/inferences/k.1", json=submission(deadline_ms=1500))
        await running.call("PUT", "/v1/inferences/k.2", json=submission(deadline_ms=300))
        waiting, working = await running.until_over("k.2"), await running.until_over("k.1")
    assert (waiting["state"], waiting["error"]["stage"]) == ("expired", "route")
    assert "us-a has 1 of 1 slots in use" in waiting["error"]["message"]
    assert (working["state"], working["error"]["stage"]) == ("expired", "inference")
    assert slow.keys == {"k.1": 1}


async def test_a_restart_keeps_answers_and_waiting_work_and_fetches_what_an_agent_works_on(slow, state, tmp_path):
    async with agent(slow.url, tmp_path / "agent.db") as url:
        provider = plain(slow, transport="agent", url=f"{url}/v1", concurrency=1)
        async with gateway(provider, state=state) as running:
            await running.call("PUT", "/v1/inferences/running", json=submission())
            await running.call("PUT", "/v1/inferences/waiting", json=submission())
            async with asyncio.timeout(30):
                while not slow.keys:
                    await asyncio.sleep(0.01)
        slow.go.set()
        async with gateway(provider, state=state) as running:
            assert text_of(await running.until_over("running")) == TEXT
            assert text_of(await running.until_over("waiting")) == TEXT
        async with gateway(provider, state=state) as running:
            assert text_of(await running.until_over("running")) == TEXT
    assert slow.keys == {"running": 1, "waiting": 1}


async def test_after_a_restart_work_at_a_provider_that_keeps_nothing_is_lost_and_not_asked_again(slow, state):
    async with gateway(plain(slow), state=state) as running:
        await running.call("PUT", "/v1/inferences/k.1", json=submission())
        async with asyncio.timeout(30):
            while not slow.keys:
                await asyncio.sleep(0.01)
    async with gateway(plain(slow), state=state) as running:
        entry = await running.until_over("k.1")
    assert (entry["state"], entry["error"]["kind"]) == ("lost", "result_lost")
    assert slow.keys == {"k.1": 1}


async def test_a_providers_limit_holds_for_all_who_ask(slow, state):
    async with gateway(plain(slow, concurrency=2), state=state) as running:
        kept = [running.call("PUT", f"/v1/inferences/k.{n}", json=submission()) for n in range(5)]
        assert {status for status, _ in await asyncio.gather(*kept)} == {202}
        passed = [asyncio.create_task(running.ask()) for _ in range(5)]
        async with asyncio.timeout(30):
            while (await running.call("GET", "/providers"))[1]["providers"][0]["waiting"] < 8:
                await asyncio.sleep(0.01)
        slow.go.set()
        assert {status for status, *_ in await asyncio.gather(*passed)} == {200}
        for number in range(5):
            await running.until_over(f"k.{number}")
    assert slow.most_in_flight == 2
    assert sum(slow.keys.values()) == len(slow.keys) == 10
