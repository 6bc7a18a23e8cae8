"""The mailbox contract, over real HTTP."""

from __future__ import annotations

import asyncio
import io

import pytest
from aiohttp import web

from beacon.errors import InputError
from beacon.mailbox.state import open_state
from tests.integration.agents import Client, Inference, agent, completion, serving, submission


@pytest.fixture
async def inference():
    async with serving(Inference()) as inference:
        yield inference


def after(event: asyncio.Event):
    """Answers once the event is set."""

    async def act(_: web.Request) -> web.StreamResponse:
        await event.wait()
        return web.json_response(completion())

    return act


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def test_work_is_accepted_once_done_once_and_its_answer_read_as_often_as_wanted(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        status, entry = await client.put("k.1")
        assert (status, entry["key"]) == (202, "k.1")
        entry = await client.until_over("k.1")
        assert entry["state"] == "done"
        assert entry["response"] == completion()
        assert (entry["region"], entry["model"], entry["upstream_model"]) == ("us", "alpha", "alpha")
        assert "list of models" in entry["how_known"]
        assert entry["provider"] == inference.url.split("/")[2]
        assert set(entry["stages_ms"]) == {"queue", "connect", "inference"}
        assert entry["finished_ago_ms"] >= 0
        for _ in range(2):
            assert (await client.get("k.1"))[1]["response"] == completion()
        assert (await client.put("k.1", deadline_ms=5))[0] == 200
    assert inference.keys == {"k.1": 1}
    assert inference.bodies[0]["stream"] is False
    assert 0 < int(inference.headers[0]["X-Beacon-Deadline-Ms"]) <= 60_000


async def test_another_body_under_a_known_key_is_a_conflict(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        await client.put("k.1")
        for change in ({"model": "beta"}, {"region": "eu"}, {"request": {"messages": []}}):
            status, refusal = await client.put("k.1", change)
            assert (status, refusal["error"]["kind"]) == (409, "conflict")
        await client.until_over("k.1")
    assert inference.keys == {"k.1": 1}


@pytest.mark.parametrize(
    ("change", "status", "kind", "said"),
    [
        ({"region": "eu"}, 422, "region_mismatch", "us"),
        ({"region": "???"}, 422, "region_mismatch", "us"),
        ({"model": "alfa"}, 422, "model_mismatch", "did you mean 'alpha'"),
        ({"deadline_ms": 0}, 422, "deadline_expired", "deadline"),
        ({"deadline_ms": -1}, 400, "bad_request", "deadline_ms"),
        ({"request": "Why?"}, 400, "bad_request", "request"),
        ({"region": None}, 400, "bad_request", "region"),
    ],
)
async def test_what_is_not_served_here_is_refused_and_never_asked(inference, tmp_path, change, status, kind, said):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        answered, refusal = await client.put("k.1", change)
        assert (answered, refusal["error"]["kind"]) == (status, kind)
        assert said in refusal["error"]["message"]
        assert (await client.get("k.1"))[0] == 404
    assert not inference.keys


async def test_aliases_of_the_region_are_its_names(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        assert (await client.put("k.1", region="us-east-1"))[0] == 202
        assert (await client.until_over("k.1"))["region"] == "us"


async def test_what_cannot_be_read_is_refused(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        assert (await client.raw("k.1", b"{"))[0] == 400
        assert (await client.raw("k.1", io.BytesIO(b"x" * (5 * 2**20))))[0] == 413
        assert (await client.put("k%20 1"))[0] == 400
        assert (await client.get("k.1", "soon"))[0] == 400
        for answer in (await client.get("k.1"), await client.delete("k.1")):
            assert (answer[0], answer[1]["error"]["kind"]) == (404, "unknown_key")


async def test_models_may_have_names_of_their_own_here(inference, tmp_path):
    inference.models = ["vendor/Alpha-1"]
    named = {"alpha": "vendor/Alpha-1", "beta": "vendor/Beta-1"}
    async with agent(inference.url, tmp_path / "state.db", models=named) as url, Client(url) as client:
        await client.put("k.1")
        entry = await client.until_over("k.1")
        assert (entry["model"], entry["upstream_model"]) == ("alpha", "vendor/Alpha-1")
        health = await client.healthz()
        assert (health["region"], health["running"], health["queued"]) == ("us", 0, 0)
        assert "holds it" in health["models"]["alpha"]["how_known"]
        assert "does not hold it" in health["models"]["beta"]["how_known"]
        assert (await client.put("k.2", model="vendor/Alpha-1"))[0] == 422
    assert inference.bodies[0]["model"] == "vendor/Alpha-1"


async def test_a_model_that_the_inference_server_loads_later_is_served_then(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        assert (await client.put("k.1", model="beta"))[0] == 422
        inference.models.append("beta")
        assert (await client.put("k.1", model="beta"))[0] == 202
        await client.until_over("k.1")


async def test_an_inference_server_that_is_away_is_told_and_not_taken_for_one_without_models(tmp_path, unused_url):
    async with agent(unused_url, tmp_path / "state.db") as url, Client(url) as client:
        status, refusal = await client.put("k.1")
        assert (status, refusal["error"]["kind"]) == (503, "refused_connection")
        assert (await client.healthz())["models_not_listed"]
    async with agent(unused_url, tmp_path / "other.db", models={"alpha": "alpha"}) as url, Client(url) as client:
        assert (await client.put("k.1"))[0] == 202
        entry = await client.until_over("k.1")
        error = entry["error"]
        assert (entry["state"], error["kind"], error["stage"]) == ("failed", "refused_connection", "connect")


@pytest.fixture
def unused_url(unused_tcp_port: int) -> str:
    return f"http://127.0.0.1:{unused_tcp_port}/v1"


async def refuses(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "7"})


async def fails(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "no room"}, status=500)


async def cuts(request: web.Request) -> web.StreamResponse:
    request.transport.abort()
    return web.Response()


async def babbles(_: web.Request) -> web.StreamResponse:
    return web.Response(text="hello")


@pytest.mark.parametrize(
    ("act", "state", "kind", "status"),
    [
        (refuses, "failed", "rate_limited", 429),
        (fails, "failed", "provider_error", 500),
        (cuts, "lost", "result_lost", None),
        (babbles, "failed", "protocol_error", None),
    ],
)
async def test_what_an_inference_server_does_wrong_is_told_and_done_once(inference, tmp_path, act, state, kind, status):
    inference.act = act
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        await client.put("k.1")
        entry = await client.until_over("k.1")
    error = entry["error"]
    assert (entry["state"], error["kind"], error["http_status"], error["stage"]) == (state, kind, status, "inference")
    assert error["retry_after_s"] == (7 if status == 429 else None)
    assert "inference server" in error["message"]
    assert inference.keys == {"k.1": 1}


async def test_a_read_waits_for_the_answer_and_for_no_longer_than_it_is_told(inference, tmp_path):
    go = asyncio.Event()
    inference.act = after(go)
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        await client.put("k.1")
        assert (await client.get("k.1", 0.05))[1]["state"] in {"accepted", "running"}
        waiting = asyncio.create_task(client.get("k.1", 20))
        await until(lambda: inference.keys)
        go.set()
        assert (await waiting)[1]["state"] == "done"


async def test_no_read_waits_longer_than_proxies_allow(inference, tmp_path, monkeypatch):
    monkeypatch.setattr("beacon.mailbox.mailbox.MAX_WAIT_S", 0.1)
    inference.act = after(asyncio.Event())
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        await client.put("k.1")
        status, entry = await asyncio.wait_for(client.get("k.1", 600), 30)
        assert (status, entry["state"]) == (200, "running")


async def test_at_the_deadline_the_work_ends_and_the_inference_server_is_let_go(inference, tmp_path):
    inference.act = after(asyncio.Event())
    async with agent(inference.url, tmp_path / "state.db", concurrency=1) as url, Client(url) as client:
        await client.put("k.1", deadline_ms=1_000)
        await until(lambda: inference.in_flight == 1)
        await client.put("k.2", deadline_ms=200)
        in_queue, under_way = await client.until_over("k.2"), await client.until_over("k.1")
        assert (in_queue["state"], in_queue["error"]["stage"]) == ("expired", "queue")
        assert (under_way["state"], under_way["error"]["stage"]) == ("expired", "inference")
        assert under_way["error"]["kind"] == "deadline_expired"
        assert under_way["stages_ms"]["inference"] > 0
        await asyncio.wait_for(inference.aborted.wait(), 30)
    assert inference.keys == {"k.1": 1}


async def test_work_beyond_the_concurrency_waits_in_order(inference, tmp_path):
    go = asyncio.Event()
    inference.act = after(go)
    async with agent(inference.url, tmp_path / "state.db", concurrency=2) as url, Client(url) as client:
        for number in range(8):
            await client.put(f"k.{number}")
        await until(lambda: inference.in_flight == 2)
        assert set(inference.keys) == {"k.0", "k.1"}
        health = await client.healthz()
        assert (health["running"], health["queued"]) == (2, 6)
        go.set()
        for number in range(8):
            assert (await client.until_over(f"k.{number}"))["state"] == "done"
    assert inference.most_in_flight == 2
    assert set(inference.keys.values()) == {1}
    assert len(inference.keys) == 8


async def test_cancelling_ends_work_that_waits_and_work_under_way_but_not_an_answer(inference, tmp_path):
    go = asyncio.Event()
    inference.act = after(go)
    async with agent(inference.url, tmp_path / "state.db", concurrency=1) as url, Client(url) as client:
        await client.put("k.1")
        await until(lambda: inference.in_flight == 1)
        await client.put("k.2")
        for key in ("k.2", "k.1"):
            status, entry = await client.delete(key)
            assert (status, entry["state"], entry["error"]["kind"]) == (200, "cancelled", "cancelled")
        await asyncio.wait_for(inference.aborted.wait(), 30)
        go.set()
        await client.put("k.3")
        await client.until_over("k.3")
        assert (await client.delete("k.3"))[1]["state"] == "done"
    assert inference.keys == {"k.1": 1, "k.3": 1}


async def test_after_a_restart_answers_are_there_waiting_work_is_done_and_work_under_way_is_lost(inference, tmp_path):
    state = tmp_path / "state.db"
    async with agent(inference.url, state) as url, Client(url) as client:
        await client.put("answered")
        await client.until_over("answered")
        go = asyncio.Event()
        inference.act = after(go)
    async with agent(inference.url, state, concurrency=1) as url, Client(url) as client:
        await client.put("under-way")
        await until(lambda: inference.in_flight == 1)
        await client.put("waiting")
        await client.put("too-late", deadline_ms=50)
        await asyncio.sleep(0)
    inference.act = None
    await asyncio.sleep(0.06)
    async with agent(inference.url, state, concurrency=1) as url, Client(url) as client:
        entries = {key: await client.until_over(key) for key in ("answered", "under-way", "waiting", "too-late")}
        assert {key: entry["state"] for key, entry in entries.items()} == {
            "answered": "done",
            "under-way": "lost",
            "waiting": "done",
            "too-late": "expired",
        }
        assert entries["answered"]["response"] == completion()
        assert entries["under-way"]["error"]["kind"] == "result_lost"
        assert (await client.put("answered"))[0] == 200
    assert inference.keys == {"answered": 1, "under-way": 1, "waiting": 1}


async def test_answers_are_forgotten_after_their_time(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db", keep_s=0.2) as url, Client(url) as client:
        await client.put("k.1")
        async with asyncio.timeout(30):
            while (await client.get("k.1", 1))[0] != 404:
                await asyncio.sleep(0.05)


async def test_a_key_is_asked_for_where_one_is_configured(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db", key="secret") as url:
        for headers in ({}, {"Authorization": "Bearer other"}):
            async with Client(url, headers) as client:
                assert (await client.put("k.1"))[0] == 401
                assert (await client.get("k.1"))[0] == 401
                assert (await client.healthz())["status"] == "ok"
        async with Client(url, {"Authorization": "Bearer secret"}) as client:
            assert (await client.put("k.1"))[0] == 202
            await client.until_over("k.1")


async def test_simulated_answers_stay_marked(inference, tmp_path):
    async def act(_: web.Request) -> web.StreamResponse:
        return web.json_response(completion(), headers={"X-Beacon-Simulated": "true"})

    inference.act = act
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        await client.put("k.1")
        assert (await client.until_over("k.1"))["simulated"] is True


async def test_two_agents_never_share_a_state_file(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db"):
        with pytest.raises(InputError, match="another agent"):
            await open_state(tmp_path / "state.db")
    with pytest.raises(InputError, match="cannot be used"):
        await open_state(tmp_path / "nowhere" / "state.db")


async def test_the_same_work_handed_in_twice_at_once_is_done_once(inference, tmp_path):
    async with agent(inference.url, tmp_path / "state.db") as url, Client(url) as client:
        answers = await asyncio.gather(*(client.put("k.1", submission()) for _ in range(5)))
        assert sorted(status for status, _ in answers) == [200, 200, 200, 200, 202]
        await client.until_over("k.1")
    assert inference.keys == {"k.1": 1}
