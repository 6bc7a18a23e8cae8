"""The agent transport: no answer lost, and no inference asked for twice, whatever becomes of the connections."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from aiohttp import web

from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.router.transports import agent as transport
from beacon.router.transports.agent import AgentTransport
from beacon.router.transports.base import Call
from tests.integration.agents import Client, Inference, agent, completion, serving, site
from tests.integration.cutting import Cut, cutting
from tests.integration.router.conftest import answered, ask, ask_once, failed, inference, router_of

ANSWER = completion("An answer that is long enough to be cut in the middle. " * 20)


def provider(url: str, **fields: Any) -> dict[str, Any]:
    given = {"name": "us-a", "region": "us", "transport": "agent", "url": f"{url}/v1", "models": ["alpha"]}
    return {**given, **fields}


def slowly(seconds: float = 0.3, document: dict[str, Any] = ANSWER):
    async def act(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response(document)

    return act


@pytest.fixture
async def upstream():
    async with serving(Inference(slowly(0))) as upstream:
        yield upstream


async def test_an_answer_by_way_of_an_agent_says_who_served_it_and_where_the_time_went(upstream, tmp_path):
    upstream.act = slowly(0.2)
    async with agent(upstream.url, tmp_path / "state.db") as url:
        answer = answered(await ask_once(provider(url, cost={"input_per_mtok": 1, "output_per_mtok": 2})))
    assert answer.text == ANSWER["choices"][0]["message"]["content"]
    assert (answer.region_stated, answer.region_evidence, answer.model_echoed) == ("us", "stated", "alpha")
    assert answer.upstream == upstream.url.split("/")[2]
    assert (answer.input_tokens, answer.output_tokens) == (3, 2)
    assert answer.cost_usd == pytest.approx(7e-6)
    assert set(answer.stages_ms) == {"route", "connect", "queue", "inference", "fetch"}
    assert answer.stages_ms["inference"] >= 190
    assert answer.duration_ms >= 190
    assert answer.finished_at == pytest.approx(answer.started_at + answer.duration_ms / 1000, abs=1e-3)
    (sent,) = upstream.bodies
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Où est 台湾?"},
    ]
    assert upstream.headers[0]["X-Beacon-Attempt"] == "1"
    assert upstream.keys == {"att_1": 1}


CUTS = [Cut(up=100), Cut(up=400, reset=True), Cut(down=0), Cut(down=30), Cut(down=400), Cut(down=400, reset=True),
        Cut(seconds=0.02), Cut(seconds=0.1, reset=True)]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS, ids=str)
async def test_an_answer_is_never_lost_to_cut_connections_and_asked_for_once(upstream, tmp_path, cut):
    upstream.act = slowly()
    async with (
        agent(upstream.url, tmp_path / "state.db") as url,
        cutting(url, lambda number: cut if number <= 3 else None) as proxy,
    ):
        answer = answered(await ask_once(provider(proxy.url)))
    assert proxy.cuts > 0
    assert answer.text == ANSWER["choices"][0]["message"]["content"]
    assert upstream.keys == {"att_1": 1}


async def test_many_answers_come_through_a_way_that_cuts_most_connections(upstream, tmp_path):
    upstream.act = slowly(0.05)
    mix = itertools.cycle([*CUTS, None])
    async with (
        agent(upstream.url, tmp_path / "state.db", concurrency=4) as url,
        cutting(url, lambda _: next(mix)) as proxy,
        router_of(provider(proxy.url, concurrency=20)) as router,
    ):
        outcomes = await asyncio.gather(*(ask(router, deadline_s=120, key=f"k.{n}") for n in range(20)))
    assert [answered(outcome).text for outcome in outcomes] == [ANSWER["choices"][0]["message"]["content"]] * 20
    assert proxy.cuts > 20
    assert upstream.keys == {f"k.{n}": 1 for n in range(20)}


async def test_a_connection_that_dies_without_a_word_is_given_up_for_another(upstream, tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_PATIENCE_S", 0.3)
    monkeypatch.setattr(transport, "WAIT_S", 0.3)
    dead = Cut(up=0, silent=True), Cut(down=0, silent=True), None, Cut(seconds=0.0, silent=True)
    async with (
        agent(upstream.url, tmp_path / "state.db") as url,
        cutting(url, lambda number: dead[number - 1] if number <= len(dead) else None) as proxy,
    ):
        answered(await ask_once(provider(proxy.url)))
    assert upstream.keys == {"att_1": 1}


async def test_a_restart_of_the_agent_loses_no_work_but_what_was_at_the_inference_server(
    upstream, tmp_path, unused_tcp_port
):
    upstream.act = slowly(60)
    state, port = tmp_path / "state.db", unused_tcp_port
    async with router_of(provider(f"http://127.0.0.1:{port}")) as router:
        async with agent(upstream.url, state, concurrency=1, port=port) as url, Client(url) as client:
            under_way = asyncio.create_task(ask(router, key="k.1"))
            while not upstream.keys:
                await asyncio.sleep(0.01)
            waiting = asyncio.create_task(ask(router, key="k.2"))
            while (await client.healthz())["queued"] == 0:
                await asyncio.sleep(0.01)
        upstream.act = slowly(0)
        await asyncio.sleep(0.3)
        async with agent(upstream.url, state, concurrency=1, port=port):
            assert failed(await under_way).kind is FailureKind.RESULT_LOST
            answered(await waiting)
    assert upstream.keys == {"k.1": 1, "k.2": 1}


async def test_work_that_the_agent_lost_is_lost_and_never_of_unknown_outcome(upstream, tmp_path):
    async def cuts(request: web.Request) -> web.StreamResponse:
        request.transport.abort()
        return web.Response()

    upstream.act = cuts
    async with agent(upstream.url, tmp_path / "state.db") as url:
        failure = failed(await ask_once(provider(url)))
    assert (failure.kind, failure.stage, failure.retryable) == (FailureKind.RESULT_LOST, Stage.INFERENCE, True)
    assert "us-a says that the inference server broke off" in failure.message
    assert upstream.keys == {"att_1": 1}


UNKNOWN = {"error": {"kind": "unknown_key", "stage": "route", "message": "nothing is known"}}


def mailbox_that_says(put: tuple[int, Any], get: tuple[int, Any]):
    """A mailbox that gives the same two responses to everybody."""
    app = web.Application()

    def saying(status: int, document: Any):
        async def handle(_: web.Request) -> web.Response:
            return web.json_response(document, status=status)

        return handle

    app.router.add_put("/v1/inferences/{key}", saying(*put))
    app.router.add_get("/v1/inferences/{key}", saying(*get))
    return site(app)


def done(**fields: Any) -> tuple[int, dict[str, Any]]:
    entry = {"key": "att_1", "state": "done", "response": completion(), "region": "us", "model": "alpha"}
    return 200, {**entry, **fields}


def ended(state: str, kind: str, **error: Any) -> tuple[int, dict[str, Any]]:
    said = {"kind": kind, "stage": "inference", "message": "the inference server answered so", **error}
    return done(state=state, response=None, error=said)


async def test_a_mailbox_that_forgot_what_it_accepted_has_lost_it():
    async with mailbox_that_says((202, {"key": "att_1", "state": "accepted"}), (404, UNKNOWN)) as url:
        failure = failed(await ask_once(provider(url)))
    assert (failure.kind, failure.stage) == (FailureKind.RESULT_LOST, Stage.FETCH)


@pytest.mark.parametrize(
    ("get", "kind", "retryable"),
    [
        (done(region="eu"), "region_mismatch", True),
        (done(region="???"), "region_mismatch", True),
        (done(model="beta"), "model_mismatch", True),
        (done(response=completion(model="beta")), "model_mismatch", True),
        (done(response={"choices": []}), "protocol_error", True),
        (done(response={"error": "no room"}), "provider_error", True),
        (done(response=None), "protocol_error", True),
        (ended("failed", "rate_limited", http_status=429, retry_after_s=3), "rate_limited", True),
        (ended("failed", "provider_error", http_status=400), "provider_error", False),
        (ended("failed", "provider_error", http_status=500), "provider_error", True),
        (ended("failed", "refused_connection"), "refused_connection", True),
        (ended("failed", "outcome_unknown"), "provider_error", True),
        (ended("expired", "deadline_expired"), "deadline_expired", False),
        (ended("lost", "result_lost"), "result_lost", True),
        (ended("cancelled", "cancelled"), "cancelled", False),
    ],
)
async def test_what_a_mailbox_tells_of_an_end(get, kind, retryable):
    async with mailbox_that_says((202, {"key": "att_1", "state": "accepted"}), get) as url:
        failure = failed(await ask_once(provider(url)))
    assert (failure.kind, failure.retryable) == (kind, retryable)
    assert "us-a" in failure.message
    assert failure.retry_after_s == (3 if kind == "rate_limited" else None)


async def test_a_region_or_model_that_the_agent_does_not_serve_is_a_mismatch_and_never_asked(upstream, tmp_path):
    async with agent(upstream.url, tmp_path / "state.db", region="eu") as url:
        failure = failed(await ask_once(provider(url)))
        assert (failure.kind, failure.other_provider_only) == (FailureKind.REGION_MISMATCH, True)
        assert "serves the region eu" in failure.message
        failure = failed(await ask_once(provider(url, region="eu", models={"alpha": "beta"}), region="eu"))
        assert (failure.kind, failure.other_provider_only) == (FailureKind.MODEL_MISMATCH, True)
    assert not upstream.keys


async def test_half_a_surrogate_pair_in_an_answer_does_not_keep_it_from_being_fetched(upstream, tmp_path):
    upstream.act = slowly(0, completion("broken \ud83d off"))
    async with agent(upstream.url, tmp_path / "state.db") as url:
        assert answered(await ask_once(provider(url))).text == "broken \ufffd off"


async def test_the_agents_own_name_for_a_model_is_no_mismatch(upstream, tmp_path):
    upstream.act = slowly(0, completion(model="vendor/Alpha-1"))
    async with agent(upstream.url, tmp_path / "state.db", models={"alpha": "vendor/Alpha-1"}) as url:
        assert answered(await ask_once(provider(url))).model_echoed == "vendor/Alpha-1"


@pytest.mark.parametrize(
    ("status", "document", "kind"),
    [
        (404, {"detail": "Not Found"}, "provider_error"),
        (401, {}, "provider_error"),
        (429, {}, "rate_limited"),
        (302, {}, "protocol_error"),
        (200, {"hello": "world"}, "protocol_error"),
        (409, {"error": {"kind": "conflict", "stage": "route", "message": "other work"}}, "provider_error"),
    ],
)
async def test_what_is_no_mailbox_or_will_not_take_the_work_is_told_at_once(status, document, kind):
    async with mailbox_that_says((status, document), (404, UNKNOWN)) as url:
        failure = failed(await ask_once(provider(url), deadline_s=600))
    assert (failure.kind, failure.stage) == (kind, Stage.CONNECT)
    assert "us-a" in failure.message


async def test_an_agent_that_nobody_reaches_is_told_at_once_so_that_another_can_be_asked(unused_tcp_port):
    failure = failed(await ask_once(provider(f"http://127.0.0.1:{unused_tcp_port}"), deadline_s=600))
    assert (failure.kind, failure.retryable) == (FailureKind.REFUSED_CONNECTION, True)


async def test_a_way_that_is_broken_until_the_deadline_is_named(upstream, tmp_path):
    async with (
        agent(upstream.url, tmp_path / "state.db") as url,
        cutting(url, lambda number: Cut(down=0) if number > 1 else None) as proxy,
    ):
        upstream.act = slowly(60)
        failure = failed(await ask_once(provider(proxy.url), deadline_s=1.5))
    assert failure.kind is FailureKind.DEADLINE_EXPIRED
    assert "hop: router to http://127.0.0.1" in failure.message
    assert sum(failure.stages_ms.values()) == pytest.approx(1500, rel=0.5)


async def test_the_deadline_names_the_stage_that_the_agent_told_of(upstream, tmp_path):
    upstream.act = slowly(60)
    async with agent(upstream.url, tmp_path / "state.db", concurrency=1) as url, router_of(provider(url)) as router:
        first = asyncio.create_task(ask(router, deadline_s=2.0, key="k.1"))
        while not upstream.keys:
            await asyncio.sleep(0.01)
        queued = failed(await ask(router, deadline_s=0.5, key="k.2"))
        working = failed(await first)
    assert (queued.kind, queued.stage) == (FailureKind.DEADLINE_EXPIRED, Stage.QUEUE)
    assert (working.kind, working.stage) == (FailureKind.DEADLINE_EXPIRED, Stage.INFERENCE)


async def test_an_answer_is_fetched_by_its_key_without_being_asked_for_again(upstream, tmp_path):
    deadline = Deadline.after(30, SystemClock())
    async with agent(upstream.url, tmp_path / "state.db") as url, router_of(provider(url)) as router:
        upstream.act = slowly()
        waiting = asyncio.create_task(ask(router))
        while not upstream.keys:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for _ in range(2):
            answered(await router.fetch("us-a", inference(), deadline))
        assert await router.fetch("us-a", inference(key="unheard-of"), deadline) is None
        assert await router.fetch("nobody", inference(), deadline) is None
        assert await router.fetch("us-a", inference(model="beta"), deadline) is None
        assert (router.keeps_results("us-a"), router.keeps_results("nobody")) == (True, False)
    assert upstream.keys == {"att_1": 1}


async def test_work_is_withdrawn_from_the_agent(upstream, tmp_path):
    upstream.act = slowly(60)
    deadline = Deadline.after(30, SystemClock())
    async with agent(upstream.url, tmp_path / "state.db") as url, router_of(provider(url)) as router:
        waiting = asyncio.create_task(ask(router))
        while not upstream.keys:
            await asyncio.sleep(0.01)
        await router.cancel("us-a", "att_1", deadline)
        assert failed(await waiting).kind is FailureKind.CANCELLED
        await asyncio.wait_for(upstream.aborted.wait(), 30)


async def test_an_endpoint_that_keeps_no_results_has_nothing_to_fetch(upstream):
    given = {"name": "us-a", "region": "us", "transport": "openai", "url": upstream.url, "models": ["alpha"]}
    async with router_of(given) as router:
        assert not router.keeps_results("us-a")
        assert await router.fetch("us-a", inference(), Deadline.after(5, SystemClock())) is None


async def test_the_key_is_sent_to_the_agent_and_never_shown(upstream, tmp_path):
    async with agent(upstream.url, tmp_path / "state.db", key="secret-1") as url:
        given = provider(url, api_key_env="AGENT_KEY")
        for key, right in (("secret-1", True), ("secret-2", False)):
            async with router_of(given, environ={"AGENT_KEY": key}) as router:
                outcome = await ask(router, key=f"with-{key}")
            if right:
                answered(outcome)
            else:
                assert "secret" not in failed(outcome).message
                assert failed(outcome).http_status == 401


LONG_AGO = {"stages_ms": {"connect": 1e308, "inference": 1e308}, "finished_ago_ms": 1e308}


async def test_no_time_that_a_mailbox_tells_lies_before_the_work_was_handed_in():
    began = SystemClock().wall()
    async with mailbox_that_says((202, {"key": "att_1", "state": "accepted"}), done(**LONG_AGO)) as url:
        answer = answered(await ask_once(provider(url)))
    ended = SystemClock().wall()
    assert began - 0.1 <= answer.finished_at <= ended + 0.1
    assert 0 <= answer.duration_ms <= 2_000 * (ended - began)
    assert answer.stages_ms["inference"] <= 1_000 * (ended - began)


async def test_no_mailbox_is_left_alone_for_longer_than_a_day():
    refused = ended("failed", "rate_limited", http_status=429, retry_after_s=1e300)
    async with mailbox_that_says((202, {"key": "att_1", "state": "accepted"}), refused) as url:
        assert failed(await ask_once(provider(url))).retry_after_s == 86_400


STARTING = ended("failed", "provider_error", http_status=503)


@pytest.mark.parametrize("get", [STARTING, (200, {"key": "att_1", "state": "running"})], ids=["503", "deadline"])
async def test_the_time_in_which_work_was_held_for_a_start_is_not_lost_when_the_start_goes_on(get):
    held_ms = 5_000.0
    async with mailbox_that_says((202, {"key": "att_1", "state": "accepted"}), get) as url:
        given = provider(url, cold_start=10)
        transport_ = AgentTransport(Provider.model_validate(given), None, SystemClock())
        await transport_.open()
        call = Call(inference(), Deadline.after(0.5, SystemClock()), True, {Stage.COLD_START.value: held_ms})
        failure = failed(await transport_.infer(call))
        await transport_.close()
    assert failure.stage is Stage.COLD_START
    assert failure.stages_ms["cold_start"] >= held_ms
