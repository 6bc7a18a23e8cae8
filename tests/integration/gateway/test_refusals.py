"""What the gateway refuses, what it lets nobody smuggle through, and how it says so."""

import asyncio
import io
import json

import pytest
from aiohttp import web

from beacon.errors import InputError
from beacon.gateway.keys import Keys, read_keys
from tests.integration.agents import completion
from tests.integration.gateway.conftest import MODEL, gateway

KEY = "a-long-random-key-of-a-runner"


async def answer(_: web.Request) -> web.Response:
    return web.json_response(completion("An answer."))


@pytest.fixture
async def served(serve, state):
    provider = await serve(answer)
    async with gateway(provider.provider(), provider.provider("eu-a", region="eu"), state=state) as running:
        yield running, provider


@pytest.mark.parametrize(
    ("region", "code"),
    [(None, "region_missing"), ("", "region_unknown"), ("uss", "region_unknown"), ("apac", "region_unknown")],
)
async def test_a_region_is_never_guessed(served, region, code):
    running, provider = served
    status, _, told = await running.ask(region)
    assert (status, told["error"]["code"], told["error"]["param"]) == (400, code, "X-Beacon-Region")
    assert "us, eu" in told["error"]["message"]
    assert provider.requests == []


@pytest.mark.parametrize(("spelled", "region"), [("US", "us"), ("eu-west-1", "eu"), ("Europe", "eu")])
async def test_a_region_is_resolved_by_the_one_table(served, spelled, region):
    running, _ = served
    status, headers, _ = await running.ask(spelled)
    assert (status, headers["X-Beacon-Region"], headers["X-Beacon-Provider"]) == (200, region, f"{region}-a")


async def test_where_one_region_is_served_it_need_not_be_named(serve, state):
    provider = await serve(answer)
    async with gateway(provider.provider(), state=state) as running:
        status, headers, _ = await running.ask(None)
        assert (status, headers["X-Beacon-Region"]) == (200, "us")
        assert (await running.ask("eu"))[0] == 400


async def test_a_header_that_stands_twice_is_refused(served):
    running, provider = served
    reader, writer = await asyncio.open_connection(*running.url.removeprefix("http://").split(":"))
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Why?"}]})
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Beacon-Region: us\r\nX-Beacon-Region: eu\r\n"
        + f"Connection: close, X-Beacon-Region\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    told = await reader.read()
    assert told.startswith(b"HTTP/1.1 400")
    assert b"X-Beacon-Region stands twice" in told
    writer.close()
    assert provider.requests == []


async def test_headers_of_a_client_do_not_reach_a_provider(served):
    running, provider = served
    hostile = {
        "Connection": "keep-alive, X-Secret",
        "X-Secret": "1",
        "Cookie": "session=1",
        "X-Forwarded-For": "10.0.0.1",
        "Authorization": "Bearer mine",
        "Te": "trailers",
        "X-Modal-Key": "x",
        "X-Beacon-Attempt": "3",
    }
    assert (await running.ask(headers=hostile))[0] == 200
    sent = {name.lower() for name in provider.requests[0][0]}
    assert sent == {
        "host", "accept", "content-type", "user-agent", "accept-encoding", "x-beacon-key", "x-beacon-attempt",
        "x-beacon-deadline-ms", "content-length",
    }  # fmt: skip
    assert provider.requests[0][0]["X-Beacon-Attempt"] == "3"


async def test_headers_of_a_provider_do_not_reach_a_client(serve, state):
    async def act(_: web.Request) -> web.Response:
        headers = {"Set-Cookie": "a=1", "X-Beacon-Provider": "other", "Keep-Alive": "timeout=1", "Via": "x"}
        return web.json_response(completion("An answer."), headers=headers)

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running:
        _, headers, _ = await running.ask()
    assert headers.getall("X-Beacon-Provider") == ["us-a"]
    assert not {"Set-Cookie", "Keep-Alive", "Via"} & set(headers)


async def test_another_region_or_model_is_a_failure_and_not_a_word_of_it_is_passed_on(serve, state):
    async def act(request: web.Request) -> web.StreamResponse:
        if not (await request.json()).get("stream"):
            return web.json_response(completion("Smuggled."), headers={"X-Region": "eu"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Region": "us"})
        await response.prepare(request)
        choice = {"index": 0, "delta": {"content": "Smuggled."}}
        event = json.dumps({"model": "other\r\nX-Evil: 1", "choices": [choice]})
        await response.write(f"data: {event}\n\ndata: [DONE]\n\n".encode())
        return response

    provider = await serve(act)
    async with gateway(provider.provider(region_header="X-Region"), state=state) as running:
        status, _, told = await running.ask()
        assert (status, told["error"]["kind"], told["error"]["stage"]) == (502, "region_mismatch", "inference")
        status, headers, told = await running.ask(stream=True)
        assert (status, told["error"]["kind"]) == (502, "model_mismatch")
        assert "X-Evil" not in headers
        assert "Smuggled" not in json.dumps(told)


async def test_a_providers_key_is_cut_out_of_what_it_says(serve, state):
    async def act(request: web.Request) -> web.Response:
        return web.json_response(completion(f"You sent {request.headers['Authorization']}"))

    provider = await serve(act)
    secret = "the-providers-own-secret"
    async with gateway(provider.provider(api_key_env="K"), state=state, environ={"K": secret}) as running:
        _, _, told = await running.ask()
    assert told["choices"][0]["message"]["content"] == "You sent Bearer [key]"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"[]", 400, "bad_json"),
        (b'{"model": 3, "messages": [1]}', 400, "bad_request"),
        (b'{"model": "alpha", "messages": []}', 400, "bad_request"),
        (b'{"model": "alpha", "messages": [1], "stream": "yes"}', 400, "bad_request"),
        (b'{"model": "' + b"x" * 5_000_000 + b'"}', 413, "too_large"),
        (b'{"model": ' + b"[" * 100_000, 400, "bad_json"),
    ],
)
async def test_a_body_that_cannot_be_asked_is_refused(served, body, status, code):
    running, provider = served
    told = await running.call("POST", "/v1/chat/completions", data=io.BytesIO(body), headers={"X-Beacon-Region": "us"})
    assert (told[0], told[1]["error"]["code"]) == (status, code)
    assert provider.requests == []


async def test_without_a_key_nothing_but_health_is_told(serve, state):
    provider = await serve(answer)
    async with gateway(provider.provider(), state=state, keys=Keys(frozenset({KEY, "another-of-the-keys"}))) as running:
        for path in ("/v1/models", "/providers", "/metrics", "/v1/fleet", "/v1/inferences/k.1", "/nowhere"):
            assert (await running.call("GET", path))[0] == 401
        for wrong in ("", "Bearer", f"Bearer {KEY}x", f"Basic {KEY}", KEY):
            assert (await running.ask(headers={"Authorization": wrong}))[0] == 401
        assert (await running.ask(headers={"Authorization": f"Bearer {KEY}"}))[0] == 200
        assert (await running.ask(headers={"Authorization": "bearer another-of-the-keys"}))[0] == 200
        assert (await running.call("GET", "/healthz"))[0] == 200
        assert (await running.call("GET", "/readyz"))[0] == 200
    assert len(provider.requests) == 2


async def test_without_keys_no_web_page_is_served(served):
    running, provider = served
    assert (await running.ask(headers={"Host": "rebound.example"}))[0] == 421
    assert (await running.ask(headers={"Origin": "http://page.example"}))[0] == 403
    assert provider.requests == []


def test_keys_that_protect_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least 16"):
        read_keys({"BEACON_GATEWAY_KEY": "short"}, None)
    (tmp_path / "keys").write_text("# of the runners\n")
    with pytest.raises(InputError, match="empty"):
        read_keys({}, tmp_path / "keys")
    (tmp_path / "keys").write_text(f"# of the runners\n{KEY}\n")
    assert read_keys({}, tmp_path / "keys").accept(f"Bearer {KEY}".encode())


async def test_what_it_tells_of_itself(served):
    running, _ = served
    assert (await running.ask())[0] == 200
    _, models = await running.call("GET", "/v1/models")
    assert [(model["id"], model["regions"]) for model in models["data"]] == [(MODEL, ["us", "eu"])]
    _, told = await running.call("GET", "/providers")
    assert [(each["name"], each["state"], each["in_flight"]) for each in told["providers"]] == [
        ("us-a", "warm", 0),
        ("eu-a", "unknown", 0),
    ]
    async with running.session.get(f"{running.url}/metrics") as response:
        metrics = await response.text()
    labels = 'model="alpha",outcome="answered",provider="us-a",region="us"'
    assert any(
        line.startswith("beacon_gateway_inferences_total") and line.endswith(" 1.0") for line in metrics.splitlines()
    )
    assert all(label in metrics for label in labels.split(","))


async def test_a_failure_says_provider_stage_and_what_to_do(serve, state):
    async def act(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "7"})

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running:
        status, headers, told = await running.ask()
    assert (status, headers["Retry-After"], told["error"]["kind"]) == (429, "7", "rate_limited")
    assert told["error"]["message"].startswith("us-a answered HTTP 429")
    assert told["error"]["type"] == "provider_error"


async def test_a_client_that_goes_away_ends_what_nobody_could_fetch(serve, state):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def act(_: web.Request) -> web.StreamResponse:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running:
        asking = asyncio.create_task(running.ask())
        await begun.wait()
        asking.cancel()
        async with asyncio.timeout(30):
            await ended.wait()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_connection_is_kept_alive_by_signs_of_life(serve, state, monkeypatch, stream):
    monkeypatch.setattr("beacon.gateway.reply.HEARTBEAT_S", 0.05)
    go = asyncio.Event()

    async def act(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.json_response(completion("An answer."))

    provider = await serve(act)
    async with gateway(provider.provider(), state=state) as running:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Why?"}], "stream": stream}
        async with running.session.post(f"{running.url}/v1/chat/completions", json=body) as response:
            sign = await response.content.readany()
            go.set()
            rest = await response.read()
    if stream:
        assert sign.startswith(b": ")
        assert b'"content": "An answer."' in rest
        assert b"data: [DONE]\n\n: X-Beacon-Overhead-Ms: " in rest
    else:
        assert sign.strip() == b""
        assert json.loads(rest)["choices"][0]["message"]["content"] == "An answer."
