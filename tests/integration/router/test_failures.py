"""Every row of the table of failures, against real servers: kind, stage, sentence, and no hidden retry."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
import uvloop
from aiohttp import web

from beacon.domain.answer import Answer
from beacon.domain.failure import Failure, FailureKind, Stage
from tests.integration.router.conftest import (
    DONE,
    MODEL,
    answered,
    ask,
    ask_once,
    cuts,
    event,
    failed,
    hangs,
    in_turn,
    refuses,
    resets,
    router_of,
    says,
    streams,
)

KIND = FailureKind
SOON = 1.0  # seconds: a deadline that a slow machine still reaches the server within
HEL = event("Hel")
ERROR_EVENT = b'data: {"error": {"message": "out of memory"}}\n\n'

TABLE = [
    # script, kind, stage, status, retryable, words that the sentence must have
    (refuses(429), KIND.RATE_LIMITED, Stage.INFERENCE, 429, True, "HTTP 429"),
    (refuses(400), KIND.PROVIDER_ERROR, Stage.INFERENCE, 400, False, "no room"),
    (refuses(401), KIND.PROVIDER_ERROR, Stage.INFERENCE, 401, False, "api_key_env"),
    (refuses(404), KIND.PROVIDER_ERROR, Stage.INFERENCE, 404, False, "model's name"),
    (refuses(500), KIND.PROVIDER_ERROR, Stage.INFERENCE, 500, True, 'HTTP 500 ("no room")'),
    (refuses(503), KIND.PROVIDER_ERROR, Stage.INFERENCE, 503, True, "HTTP 503"),
    (refuses(500, ""), KIND.PROVIDER_ERROR, Stage.INFERENCE, 500, True, "HTTP 500"),
    (streams(HEL, ERROR_EVENT, DONE), KIND.PROVIDER_ERROR, Stage.INFERENCE, None, True, "out of memory"),
    (streams(HEL, b"event: error\ndata: {}\n\n"), KIND.PROVIDER_ERROR, Stage.INFERENCE, None, True, "error"),
    (refuses(200), KIND.PROVIDER_ERROR, Stage.INFERENCE, None, True, "no room"),
    (streams(), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "an empty body"),
    (streams(b'{"choices": [{"mess'), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "no valid JSON"),
    (streams(HEL), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "end marker"),
    (streams(event("Hello", "stop")), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "end marker"),
    (streams(DONE), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "no choices"),
    (streams(b": waiting\n\n"), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "neither JSON"),
    (refuses(204, ""), KIND.PROTOCOL_ERROR, Stage.INFERENCE, None, True, "an empty body"),
    (refuses(303, Location="/v1/result?token=t"), KIND.PROTOCOL_ERROR, Stage.INFERENCE, 303, True, "/v1/result"),
    (refuses(307, Location="http://other.invalid/"), KIND.PROTOCOL_ERROR, Stage.INFERENCE, 307, True, "other.invalid"),
    (refuses(302), KIND.PROTOCOL_ERROR, Stage.INFERENCE, 302, True, "to nowhere"),
    (cuts, KIND.OUTCOME_UNKNOWN, Stage.INFERENCE, None, True, "before any answer"),
    (resets, KIND.OUTCOME_UNKNOWN, Stage.INFERENCE, None, True, "before any answer"),
    (streams(HEL, then="cut"), KIND.OUTCOME_UNKNOWN, Stage.INFERENCE, None, True, f"{len(HEL)} bytes"),
    (streams(HEL, then="reset"), KIND.OUTCOME_UNKNOWN, Stage.INFERENCE, None, True, f"{len(HEL)} bytes"),
    (streams(event("Hello", "stop"), then="cut"), KIND.OUTCOME_UNKNOWN, Stage.INFERENCE, None, True, "was cut off"),
]


@pytest.mark.parametrize(("script", "kind", "stage", "status", "retryable", "words"), TABLE)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_table(serve, script, kind, stage, status, retryable, words, stream) -> None:
    provider = await serve(script)
    failure = failed(await ask_once(provider.provider(stream=stream)))
    assert (failure.kind, failure.stage, failure.http_status) == (kind, stage, status), failure.message
    assert (failure.retryable, failure.counts, failure.other_provider_only) == (retryable, True, False)
    assert words in failure.message
    assert len(provider.requests) == 1
    names_provider_stage_and_seconds(failure)


def names_provider_stage_and_seconds(failure: Failure) -> None:
    assert failure.message.startswith("us-a ")
    assert re.search(rf"\d+\.\d+ s into {failure.stage.value}: \w", failure.message), failure.message
    assert failure.stage.value in failure.stages_ms
    assert min(failure.stages_ms.values()) >= 0
    assert failure.message.isprintable()


async def test_a_refused_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    failure = failed(await ask_once(endpoint(f"http://127.0.0.1:{port}/v1")))
    assert (failure.kind, failure.stage, failure.retryable) == (KIND.REFUSED_CONNECTION, Stage.CONNECT, True)
    assert "connection refused" in failure.message
    assert "inference" not in failure.stages_ms
    names_provider_stage_and_seconds(failure)


async def test_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*name: object, **hints: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    failure = failed(await ask_once(endpoint("http://nowhere.invalid/v1")))
    assert (failure.kind, failure.stage) == (KIND.REFUSED_CONNECTION, Stage.CONNECT)
    assert "the name nowhere.invalid was not found" in failure.message


async def test_a_server_without_tls_where_tls_was_expected(serve) -> None:
    provider = await serve(says())
    failure = failed(await ask_once(endpoint(provider.url.replace("http:", "https:"))))
    assert (failure.kind, failure.stage) == (KIND.REFUSED_CONNECTION, Stage.CONNECT)
    assert provider.requests == []


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 5\r\n\r\nHello",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_protocol_error(response: bytes) -> None:
    async with raw_server(response) as url:
        failure = failed(await ask_once(endpoint(url)))
    assert (failure.kind, failure.stage) == (KIND.PROTOCOL_ERROR, Stage.INFERENCE), failure.message
    names_provider_stage_and_seconds(failure)


async def test_a_body_shorter_than_stated_is_a_cut() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + HEL) as url:
        failure = failed(await ask_once(endpoint(url)))
    assert (failure.kind, failure.stage) == (KIND.OUTCOME_UNKNOWN, Stage.INFERENCE)


@pytest.mark.parametrize("said", ["key is secret-7", "ansi \x1b[31m red \x07\u202e", "word " * 1000])
async def test_a_providers_words_are_made_fit_to_show(serve, said: str) -> None:
    provider = await serve(refuses(500, {"error": {"message": said}}))
    async with router_of(provider.provider(api_key_env="KEY"), environ={"KEY": "secret-7"}) as router:
        failure = failed(await ask(router))
    names_provider_stage_and_seconds(failure)
    assert "secret-7" not in failure.message
    assert len(failure.message) < 600


async def test_an_endless_error_body_is_not_read_to_its_end(serve) -> None:
    provider = await serve(in_turn(endless_error, says()))
    async with router_of(provider.provider()) as router:
        assert failed(await ask(router)).http_status == 500
        answered(await ask(router))


async def endless_error(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=500)
    await response.prepare(request)
    while True:
        await response.write(b"x" * 2**14)


async def test_the_deadline_names_its_hop_and_where_the_time_went(serve) -> None:
    provider = await serve(hangs)
    failure = failed(await ask_once(provider.provider(), deadline_s=SOON))
    assert (failure.kind, failure.stage, failure.retryable) == (KIND.DEADLINE_EXPIRED, Stage.INFERENCE, False)
    assert list(failure.stages_ms) == ["route", "connect", "inference"]
    assert sum(failure.stages_ms.values()) >= 900 * SOON
    assert re.search(
        r"hop: router to http://127.0.0.1:\d+; time: route .* s, connect .* s, inference .* s", failure.message
    )
    assert len(provider.requests) == 1
    names_provider_stage_and_seconds(failure)


async def test_the_deadline_in_the_middle_of_a_stream(serve) -> None:
    provider = await serve(streams(event("Hel"), event("lo"), then="hang"))
    failure = failed(await ask_once(provider.provider(stream=True), deadline_s=SOON))
    assert (failure.kind, failure.stage) == (KIND.DEADLINE_EXPIRED, Stage.INFERENCE)
    assert "5 characters of its answer" in failure.message


async def test_the_deadline_while_connecting() -> None:
    with socket.socket() as full:  # a listener whose queue of connections is full takes no further one
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            failure = failed(await ask_once(endpoint(f"http://127.0.0.1:{address[1]}/v1"), deadline_s=SOON))
    assert (failure.kind, failure.stage) == (KIND.DEADLINE_EXPIRED, Stage.CONNECT)
    assert "inference" not in failure.stages_ms
    names_provider_stage_and_seconds(failure)


async def test_a_status_is_the_verdict_though_its_body_hangs(serve) -> None:
    async def script(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    provider = await serve(script)
    failure = failed(await ask_once(provider.provider(), deadline_s=SOON))
    assert (failure.kind, failure.http_status) == (KIND.PROVIDER_ERROR, 500)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12", 12.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("99999999", 86_400.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
async def test_retry_after(serve, value: str, seconds: float | None) -> None:
    provider = await serve(refuses(429, Retry_After=value))
    failure = failed(await ask_once(provider.provider()))
    assert (failure.kind, failure.retry_after_s) == (KIND.RATE_LIMITED, seconds)


async def test_retry_after_as_a_date(serve) -> None:
    for offset, seconds in ((3600, pytest.approx(3600, abs=600)), (-3600, 0.0)):
        provider = await serve(refuses(429, Retry_After=formatdate(time.time() + offset, usegmt=True)))
        assert failed(await ask_once(provider.provider())).retry_after_s == seconds


async def test_a_503_of_a_provider_that_may_be_cold_does_not_count(serve) -> None:
    provider = await serve(in_turn(refuses(503, Retry_After="0"), says(), refuses(503, Retry_After="0")))
    async with router_of(provider.provider(cold_start="60s")) as router:
        placement = await router.place(MODEL, "us")
        assert placement.cold_start_s == 60
        placement.release()
        cold = failed(await ask(router))
        assert (cold.kind, cold.stage) == (KIND.PROVIDER_ERROR, Stage.COLD_START)
        assert (cold.counts, cold.retryable, cold.http_status) == (False, True, 503)
        assert "still starting" in cold.message
        names_provider_stage_and_seconds(cold)
        assert router.snapshot()[0].state == "warming"

        answered(await ask(router))
        assert router.snapshot()[0].state == "warm"
        placement = await router.place(MODEL, "us")
        assert placement.cold_start_s == 0
        placement.release()

        known_warm = failed(await ask(router))
        assert (known_warm.counts, known_warm.stage) == (True, Stage.INFERENCE)
        assert router.snapshot()[0].state == "warming"
        assert not failed(await ask(router)).counts


async def test_the_deadline_while_a_provider_starts(serve) -> None:
    provider = await serve(in_turn(hangs, says(), hangs))
    async with router_of(provider.provider(cold_start="60s")) as router:
        starting = failed(await ask(router, deadline_s=SOON))
        assert (starting.kind, starting.stage) == (KIND.COLD_START_EXPIRED, Stage.COLD_START)
        assert "cold_start" in starting.stages_ms
        names_provider_stage_and_seconds(starting)
        answered(await ask(router))
        warm = failed(await ask(router, deadline_s=SOON))
        assert (warm.kind, warm.stage) == (KIND.DEADLINE_EXPIRED, Stage.INFERENCE)


async def test_a_provider_that_has_begun_to_answer_is_not_starting(serve) -> None:
    provider = await serve(streams(HEL, then="hang"))
    failure = failed(await ask_once(provider.provider(cold_start="60s", stream=True), deadline_s=SOON))
    assert (failure.kind, failure.stage) == (KIND.DEADLINE_EXPIRED, Stage.INFERENCE)


async def test_the_same_router_goes_on_after_every_kind_of_failure(serve) -> None:
    scripts = [script for script, *_ in TABLE]
    provider = await serve(in_turn(*scripts, says()))
    async with router_of(provider.provider(concurrency=1)) as router:
        for _ in scripts:
            failed(await ask(router))
        assert isinstance(await ask(router), Answer)
        assert router.snapshot()[0].in_flight == 0
        assert router.snapshot()[0].last_failure is not None
    assert len(provider.requests) == len(scripts) + 1


def endpoint(url: str) -> dict[str, Any]:
    return {"name": "us-a", "region": "us", "transport": "openai", "url": url, "models": [MODEL], "stream": False}


@asynccontextmanager
async def raw_server(response: bytes) -> AsyncIterator[str]:
    """The address of a TCP server that answers any request with the given bytes and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
        writer.write(response)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(("status", "kind"), [(b"503 Busy", "provider_error"), (b"200 OK", "protocol_error")])
def test_a_server_that_answers_before_it_is_asked_is_not_called_without_end(status, kind):
    connections = 0

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()

    async def scene() -> Failure:
        server = await asyncio.start_server(speak_first, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = {"name": "us-a", "region": "us", "transport": "openai", "url": f"http://127.0.0.1:{port}/v1"}
        async with server:
            return failed(await ask_once({**given, "models": ["alpha"], "concurrency": 4}, deadline_s=5.0))

    # On uvloop, as runners are: it hands over what has come before the request's body is written.
    failure = uvloop.run(scene())
    assert failure.kind == kind
    assert connections <= 5
