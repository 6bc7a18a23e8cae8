"""What the gateway adds: latency and requests a second against a fast upstream, beside a bare nginx in the same run.

Upstream, gateway, nginx (one worker, where it is installed) and the clients are processes of their own. `added` is the
difference to asking the upstream directly; `cpu` is what the proxy itself used for a request, which other load on the
machine hardly changes. Connections are open before anything is measured. Prints figures; nothing here passes or fails.

    python benchmarks/gateway.py [--requests N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httptools
import uvloop
import yaml

CHUNKS = 20
WORD = "word after word "
MODEL = "llama3.2-1b"
CONNECTIONS = (1, 32, 128)
FORK = multiprocessing.get_context("fork")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
NGINX_CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 10000000;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def _answers() -> tuple[bytes, bytes]:
    """A document and a stream as they go over the wire."""
    usage = {"prompt_tokens": 20, "completion_tokens": 80, "total_tokens": 100}
    message = {"role": "assistant", "content": WORD * CHUNKS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage})
    head = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\n{}\r\n\r\n"
    document = head.format("application/json", f"Content-Length: {len(body)}") + body
    deltas = [{"index": 0, "delta": {"content": WORD}, "finish_reason": None}] * CHUNKS
    events = [
        {"id": "x", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice]}
        for choice in [*deltas, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    ]
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
    chunks = "".join(f"{len(line):x}\r\n{line}\r\n" for line in lines) + "0\r\n\r\n"
    return document.encode(), (head.format("text/event-stream", "Transfer-Encoding: chunked") + chunks).encode()


def _request(stream: bool) -> bytes:
    question = {"role": "user", "content": "What is the political status of Taiwan?"}
    body = json.dumps({"model": MODEL, "messages": [question], "temperature": 0.7, "max_tokens": 400, "stream": stream})
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "X-Beacon-Region: us",
        f"Content-Length: {len(body)}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class _Upstream(asyncio.Protocol):
    """Answers each request at once."""

    answers = _answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.transport.write(self.answers[b'"stream": true' in self.body])
        self.body = b""


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it has been answered."""

    def __init__(self, load: _Load) -> None:
        self.load = load
        self.status = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def ask(self) -> None:
        if self.load.left == 0:
            return
        self.load.left -= 1
        self.parser = httptools.HttpResponseParser(self)
        self.sent_at = time.perf_counter()
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.load.latencies.append(time.perf_counter() - self.sent_at)
        if self.parser.get_status_code() != 200:
            self.load.done.set_exception(RuntimeError(f"answered {self.parser.get_status_code()}"))
        elif len(self.load.latencies) == self.load.wanted:
            self.load.done.set_result(None)
        else:
            asyncio.get_running_loop().call_soon(self.ask)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.load.done.done():
            self.load.done.set_exception(error or RuntimeError("the connection was closed"))


@dataclass
class _Load:
    """First one request a connection that is not measured, which opens what is behind it; then `requests`."""

    requests: int
    wanted: int
    left: int
    request: bytes
    done: asyncio.Future[None]
    latencies: list[float] = field(default_factory=list)

    def restart(self, done: asyncio.Future[None]) -> None:
        self.latencies.clear()
        self.wanted = self.left = self.requests
        self.done = done


@dataclass(frozen=True)
class Figures:
    """Milliseconds, and requests a second."""

    p50: float
    p99: float
    rate: float
    cpu: float


async def drive(port: int, stream: bool, connections: int, requests: int) -> tuple[list[float], float]:
    """Latencies in seconds, and requests a second."""
    loop = asyncio.get_running_loop()
    load = _Load(requests, connections, connections, _request(stream), loop.create_future())
    clients = [(await loop.create_connection(lambda: _Client(load), "127.0.0.1", port))[1] for _ in range(connections)]
    for client in clients:
        client.ask()
    await load.done
    load.restart(loop.create_future())
    began = time.perf_counter()
    for client in clients:
        client.ask()
    await load.done
    return load.latencies, requests / (time.perf_counter() - began)


def measure(port: int, pids: list[int], stream: bool, connections: int, requests: int) -> Figures:
    before = sum(_cpu_s(pid) for pid in pids)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        latencies, rate = runner.run(drive(port, stream, connections, requests))
    cpu = 1000 * (sum(_cpu_s(pid) for pid in pids) - before) / requests
    quantiles = statistics.quantiles(latencies, n=100)
    return Figures(1000 * statistics.median(latencies), 1000 * quantiles[98], rate, cpu)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve_upstream(listener: socket.socket) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Upstream, sock=listener)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


@contextmanager
def upstream() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        process = FORK.Process(target=_serve_upstream, args=(listener,), daemon=True)
        process.start()
        yield listener.getsockname()[1]
        process.terminate()
        process.join()


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """A program that listens on that port; its pid."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command[0]} did not start") from None
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def subjects(folder: Path) -> Iterator[dict[str, tuple[int, list[int]]]]:
    """Port and processes of what is measured."""
    with ExitStack() as stack:
        behind = stack.enter_context(upstream())
        found: dict[str, tuple[int, list[int]]] = {"direct": (behind, [])}
        if NGINX:
            port = _free_port()
            (folder / "nginx.conf").write_text(NGINX_CONFIG.format(folder=folder, upstream=behind, port=port))
            pid = stack.enter_context(running([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")], port))
            found["nginx"] = (port, [pid, *_children(pid)])
        provider = {"name": "fast", "region": "us", "transport": "openai", "models": [MODEL], "concurrency": 256}
        url = f"http://127.0.0.1:{behind}/v1"
        (folder / "fleet.yaml").write_text(yaml.safe_dump({"providers": [{**provider, "url": url}]}))
        port = _free_port()
        command = [sys.executable, "-m", "beacon.cli.main", "gateway", "--fleet", str(folder / "fleet.yaml")]
        command += ["--state", str(folder / "gateway.db"), "--port", str(port)]
        found["gateway"] = (port, [stack.enter_context(running(command, port))])
        yield found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=3000)
    arguments.add_argument("--rounds", type=int, default=3)
    options = arguments.parse_args()
    print(f"{options.requests} requests a figure, median of {options.rounds} rounds")
    with tempfile.TemporaryDirectory() as folder, subjects(Path(folder)) as found:
        for stream in (False, True):
            print(f"streaming ({CHUNKS} chunks)" if stream else "not streaming")
            for connections in CONNECTIONS:
                rounds: dict[str, list[Figures]] = {name: [] for name in found}
                for _ in range(options.rounds):
                    for name, (port, pids) in found.items():
                        rounds[name].append(measure(port, pids, stream, connections, options.requests))
                _print(connections, {name: _median(each) for name, each in rounds.items()})
    if not NGINX:
        print("nginx is not installed: nothing to compare with")


def _median(rounds: list[Figures]) -> Figures:
    columns = zip(*((each.p50, each.p99, each.rate, each.cpu) for each in rounds), strict=True)
    return Figures(*(statistics.median(column) for column in columns))


def _print(connections: int, figures: dict[str, Figures]) -> None:
    direct, nginx = figures["direct"], figures.get("nginx")
    for name, each in figures.items():
        line = f"  {connections:4} {name:8} p50 {each.p50:6.2f} ms  p99 {each.p99:6.2f} ms  {each.rate:7.0f}/s"
        if name != "direct":
            line += f"   added p50 {each.p50 - direct.p50:6.2f} ms, p99 {each.p99 - direct.p99:6.2f} ms"
            line += f"   cpu {each.cpu:.3f} ms"
        if nginx is not None and name == "gateway":
            line += f"   {each.rate / nginx.rate:.0%} of nginx"
        print(line)


if __name__ == "__main__":
    main()
