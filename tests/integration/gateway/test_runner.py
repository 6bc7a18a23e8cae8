"""A runner that uses a gateway in place of a router of its own."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from beacon.cli.gateway_fleet import gateway_fleet
from beacon.domain.answer import Answer
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.errors import InputError, UnavailableError
from beacon.gateway.keys import Keys
from beacon.router.router import Router
from tests.integration.agents import Inference, agent, completion, serving
from tests.integration.gateway.conftest import MODEL, gateway
from tests.integration.router.conftest import inference

CLOCK = SystemClock()
KEY = "a-long-random-key-of-a-runner"


@asynccontextmanager
async def through(running, key=None):
    environ = {} if key is None else {"BEACON_GATEWAY_KEY": key}
    fleet = await gateway_fleet(running.url, environ)
    async with Router(fleet, base=os.path, environ=environ) as router:
        yield router


async def send(router, **fields):
    asked = inference(**fields)
    placement = await router.place(asked.model, asked.region)
    try:
        return await placement.send(asked, Deadline.after(30, CLOCK))
    finally:
        placement.release()


async def test_an_answer_through_a_gateway_is_told_as_the_providers_own(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response(completion("Hi.", "vendor/alpha-1"), headers={"X-Region": "US", "X-Up": "host-7"})

    provider = await serve(act)
    one = provider.provider(
        models={MODEL: "vendor/alpha-1"}, region_header="X-Region", upstream_header="X-Up", simulated=True
    )
    async with gateway(one, state=state, keys=Keys(frozenset({KEY}))) as running, through(running, KEY) as router:
        outcome = await send(router)
        assert isinstance(outcome, Answer)
        assert (outcome.text, outcome.provider, outcome.model_echoed) == ("Hi.", "us-a", "vendor/alpha-1")
        assert (outcome.region_stated, outcome.region_evidence, outcome.upstream) == ("US", "stated", "host-7")
        assert outcome.simulated
        assert (outcome.input_tokens, outcome.output_tokens) == (3, 2)
    headers, document = provider.requests[0]
    assert headers["X-Beacon-Key"] == "att_1"
    assert document["model"] == "vendor/alpha-1"
    assert 25_000 < int(headers["X-Beacon-Deadline-Ms"]) <= 30_000


@pytest.mark.parametrize(
    ("status", "kind", "retryable"), [(500, FailureKind.PROVIDER_ERROR, True), (400, FailureKind.PROVIDER_ERROR, False)]
)
async def test_a_failure_through_a_gateway_is_told_in_the_routers_own_words(serve, state, status, kind, retryable):
    async def act(_: web.Request) -> web.Response:
        return web.json_response({"error": "the GPU fell off"}, status=status)

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running, through(running) as router:
        outcome = await send(router)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.stage, outcome.retryable) == (kind, Stage.INFERENCE, retryable)
    assert outcome.message.startswith(f'us-a answered HTTP {status} ("the GPU fell off")')


async def test_a_mismatch_through_a_gateway_sends_a_retry_elsewhere(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response(completion("Hi.", "other"))

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running, through(running) as router:
        outcome = await send(router)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.other_provider_only) == (FailureKind.MODEL_MISMATCH, True)


async def test_a_runner_is_answered_by_the_provider_that_it_chose(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response(completion("Hi."))

    providers = [await serve(act), await serve(act)]
    named = [each.provider(name) for each, name in zip(providers, ("us-a", "us-b"), strict=True)]
    async with gateway(*named, state=state) as running, through(running) as router:
        told = Counter()
        for number in range(6):
            outcome = await send(router, key=f"k.{number}")
            told[outcome.provider] += 1
        assert await router.fetch("us-a", inference(key="never"), Deadline.after(5, CLOCK)) is None
    assert told == {"us-a": len(providers[0].requests), "us-b": len(providers[1].requests)}
    assert told.total() == 6


async def test_what_a_gateway_cannot_tell_is_explained(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response(completion("Hi."))

    provider = await serve(act)
    async with gateway(provider.provider(), state=state, keys=Keys(frozenset({KEY}))) as running:
        with pytest.raises(InputError, match="does not take the key"):
            await gateway_fleet(running.url, {"BEACON_GATEWAY_KEY": "wrong"})
        fleet = await gateway_fleet(f"{running.url}/v1/", {"BEACON_GATEWAY_KEY": KEY})
        assert [(each.name, each.transport, each.url) for each in fleet.providers] == [
            ("us-a", "gateway", f"{running.url}/v1")
        ]
        assert fleet.providers[0].api_key_env == "BEACON_GATEWAY_KEY"
    with pytest.raises(UnavailableError, match="could not be reached"):
        await gateway_fleet(running.url, {})
    with pytest.raises(UnavailableError, match="HTTP 404"):
        await gateway_fleet(provider.url, {})
    with pytest.raises(InputError, match="not an http"):
        await gateway_fleet("127.0.0.1:8200", {})


async def start(*arguments, **environment):
    own = {name: value for name, value in os.environ.items() if not name.startswith("BEACON_")}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "beacon.cli.main", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=own | environment,
    )  # fmt: skip


def write_spec(folder, model, regions, repeats):
    questions = [{"id": "q", "text": "Why?", "category": "science"}]
    job = {"schema": "beacon.job/v1", "name": "through", "questions": questions, "models": [model]}
    (folder / "spec.yaml").write_text(json.dumps({**job, "regions": regions, "repeats": repeats}))
    return folder / "spec.yaml"


async def test_a_job_runs_through_a_gateway(tmp_path):
    """End to end: lab, gateway and runner are processes of their own."""
    spec = write_spec(tmp_path, "llama3.2-1b", ["us", "eu", "apac"], 3)
    options = ("gateway", "--fleet", "lab", "--state", str(tmp_path / "gateway.db"))
    served = await start(*options, "--port", "0")
    async with asyncio.timeout(120):
        url = re.search(r"http://[\d.]+:\d+", (await served.stderr.readline()).decode())[0]
        ran = await start("run", str(spec), "--json", "--database", str(tmp_path / "beacon.db"), BEACON_GATEWAY_URL=url)
        out, err = await ran.communicate()
        served.send_signal(signal.SIGTERM)
        await served.communicate()
    assert ran.returncode == 0, err.decode()
    told = json.loads(out)
    assert told["counts"]["completed"] == told["counts"]["total"] == 9
    assert told["simulated"]
    shown = await start("export", told["job_id"], "--format", "jsonl", "--database", str(tmp_path / "beacon.db"))
    rows = [json.loads(line) for line in (await shown.communicate())[0].splitlines()]
    assert {(row["region"], row["region_evidence"]) for row in rows} == {(r, "stated") for r in ("us", "eu", "apac")}
    assert all(row["region"] in row["provider"] for row in rows)


async def test_a_gateway_that_is_killed_within_a_job_costs_no_answer_and_no_second_inference(tmp_path):
    go = asyncio.Event()

    async def act(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response(completion("The one answer."))

    async with serving(Inference(act)) as slow, agent(slow.url, tmp_path / "agent.db") as url, asyncio.timeout(150):
        provider = {"name": "us-a", "region": "us", "transport": "agent", "url": f"{url}/v1", "models": [MODEL]}
        (tmp_path / "fleet.yaml").write_text(json.dumps({"providers": [provider]}))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        options = ("gateway", "--fleet", str(tmp_path / "fleet.yaml"), "--state", str(tmp_path / "gateway.db"))
        served = await start(*options, "--port", port)
        await served.stderr.readline()
        options_of_run = ("--json", "--database", str(tmp_path / "beacon.db"))
        ran = await start(
            "run", str(write_spec(tmp_path, MODEL, ["us"], 4)), *options_of_run,
            BEACON_GATEWAY_URL=f"http://127.0.0.1:{port}",
        )  # fmt: skip
        running = asyncio.create_task(ran.communicate())
        while slow.in_flight < 4 and not running.done():
            await asyncio.sleep(0.01)
        served.kill()
        await served.communicate()
        go.set()
        again = await start(*options, "--port", port)
        out, err = await running
        again.send_signal(signal.SIGTERM)
        await again.communicate()
    assert ran.returncode == 0, err.decode()
    assert json.loads(out)["counts"]["completed"] == 4
    assert set(slow.keys.values()) == {1}
    assert len(slow.keys) == 4


async def test_a_control_call_goes_through_to_the_provider(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response(completion("Hi."))

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": MODEL}]})

    provider = await serve(act, models)
    async with gateway(provider.provider(), state=state) as running, through(running) as router:
        looked = await router.look("us-a", 10)
        assert (looked.status, looked.models) == (200, frozenset({MODEL}))
    assert provider.requests == []
