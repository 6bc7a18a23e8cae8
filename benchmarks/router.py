"""What the router costs: requests a second through `place` and `send`, beside a bare aiohttp loop.

The bare loop sends the same requests to the same server (a process of its own) in the same run and reads
the bodies without parsing them. Prints figures; nothing here passes or fails.

    python benchmarks/router.py [--requests N] [--concurrency N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import ClientSession, TCPConnector, web

from beacon.domain.answer import Answer, Inference, Message
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.fleet import Fleet
from beacon.router.router import Router

CHUNKS = 20
WORD = "word after word "
MODEL = "llama3.2-1b"


def serve(listener: socket.socket) -> None:
    """A server that answers at once: a document, or a stream of `CHUNKS` chunks."""
    usage = {"prompt_tokens": 20, "completion_tokens": 80, "total_tokens": 100}
    message = {"role": "assistant", "content": WORD * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    document = json.dumps({"id": "x", "model": MODEL, "choices": [choice], "usage": usage}).encode()
    events = [_event({"index": 0, "delta": {"content": WORD}, "finish_reason": None}) for _ in range(CHUNKS)]
    events.append(_event({"index": 0, "delta": {}, "finish_reason": "stop"}, usage))
    events.append(b"data: [DONE]\n\n")

    async def answer(request: web.Request) -> web.StreamResponse:
        if not (await request.json())["stream"]:
            return web.Response(body=document, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, sock=listener, print=None, access_log=None)


def _event(choice: dict[str, object], usage: dict[str, int] | None = None) -> bytes:
    chunk = {
        "id": "x",
        "object": "chat.completion.chunk",
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


async def drive(one: Callable[[int], Awaitable[None]], requests: int, concurrency: int) -> float:
    """Requests a second of `concurrency` loops that share `requests` numbered calls of `one`."""
    numbers = iter(range(requests))

    async def loop() -> None:
        for number in numbers:
            await one(number)

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(concurrency)))
    return requests / (time.perf_counter() - began)


async def bare(url: str, stream: bool, requests: int, concurrency: int) -> float:
    question = {"role": "user", "content": "What is the political status of Taiwan?"}
    body = {"model": MODEL, "messages": [question], "temperature": 0.7, "max_tokens": 400, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def one(number: int) -> None:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                await response.read()

        return await drive(one, requests, concurrency)


async def routed(url: str, stream: bool, requests: int, concurrency: int) -> float:
    provider = {
        "name": "bench",
        "region": "us",
        "transport": "openai",
        "url": url,
        "models": [MODEL],
        "concurrency": concurrency,
        "stream": stream,
    }
    fleet = Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": [provider]})
    clock = SystemClock()
    messages = (Message("user", "What is the political status of Taiwan?"),)
    async with Router(fleet, base=Path(), environ={}, clock=clock) as router:

        async def one(number: int) -> None:
            placement = await router.place(MODEL, "us")
            try:
                inference = Inference(str(number), 1, MODEL, "us", messages, 0.7, 400, None, "taiwan", "en", number)
                outcome = await placement.send(inference, Deadline.after(300, clock))
            finally:
                placement.release()
            if not isinstance(outcome, Answer) or outcome.text != WORD * CHUNKS:
                raise SystemExit(f"the server did not answer as scripted: {outcome}")

        return await drive(one, requests, concurrency)


async def placing(requests: int) -> float:
    """Slots a second, taken and given back without a request between."""
    provider = {"name": "bench", "region": "us", "transport": "openai", "url": "http://127.0.0.1:9"}
    fleet = Fleet.model_validate({"providers": [{**provider, "models": [MODEL], "concurrency": 8}]})
    async with Router(fleet, base=Path(), environ={}) as router:

        async def one(number: int) -> None:
            placement = await router.place(MODEL, "us")
            await asyncio.sleep(0)
            placement.release()

        return await drive(one, requests, 64)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=3000)
    arguments.add_argument("--concurrency", type=int, default=32)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        server.start()
        print(f"{options.requests} requests, {options.concurrency} at a time, median of {options.rounds}")
        for stream in (False, True):
            rates: dict[str, list[float]] = {"bare": [], "routed": []}
            for _ in range(options.rounds):
                for name, run in (("bare", bare), ("routed", routed)):
                    rates[name].append(asyncio.run(run(url, stream, options.requests, options.concurrency)))
            bare_rate, routed_rate = statistics.median(rates["bare"]), statistics.median(rates["routed"])
            form = f"streaming ({CHUNKS} chunks)" if stream else "not streaming"
            print(
                f"{form:24} bare {bare_rate:7.0f}/s   router {routed_rate:7.0f}/s   "
                f"{routed_rate / bare_rate:.0%} of bare"
            )
        print(f"{'place and release':24} {asyncio.run(placing(50_000)):.0f}/s, 64 waiting for 8 slots")
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
