"""The processes of simulated providers.

    python -m beacon.lab.server --region us --port 0 --world default --seed 7

It listens on 127.0.0.1, prints one line of JSON when it is ready, `{"region": …, "url": …, "pid": …, "own_url": …}`,
and ends on SIGTERM or SIGINT. Where the world has a network, `url` is that of the fault proxy in front, and `own_url`
the provider's own. With several `--region` it is the host of one process each, forked when all is imported
and read, on consecutive ports; the lines come in their order, and a region that stands twice has draws of its
own each time.

With `--supervised` its life hangs on its standard input: it ends when that is closed, which happens however its
parent dies; it ignores SIGINT, which a terminal sends to the whole group; and it tells an error as the line
`{"error": {"what": …, "where": …, "todo": …}}`.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn, cast

import uvloop
from aiohttp import web

from beacon.domain.regions import normalise
from beacon.errors import BeaconError, ExitCode, InputError, UnavailableError
from beacon.lab.knowledge import QuestionBook, built_in_questions
from beacon.lab.provider import SimulatedProvider
from beacon.lab.proxy import FaultProxy
from beacon.lab.request_log import RequestLog
from beacon.lab.script import Scriptwriter
from beacon.lab.world import World, network, read_world

HOST = "127.0.0.1"
BACKLOG = 1024
SHUTDOWN_S = 0.2
_FORK = multiprocessing.get_context("fork")
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Post:
    """Where and how one provider serves. `parent` is the descriptor whose end of file ends it, None for none."""

    region: str
    port: int
    seed: int
    world: World
    book: QuestionBook
    record: bool
    api_key: str | None
    parent: int | None


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        posts = _posts(options)
        gc.freeze()
        if len(posts) == 1:
            uvloop.run(_serve(posts[0], _tell))
        else:
            _host(posts)
    except BeaconError as error:
        if options.supervised:
            _tell(_told(error))
        else:
            print(error.explain(), file=sys.stderr)
        return error.exit_code
    return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m beacon.lab.server", description="Simulated providers.")
    parser.add_argument("--region", action="append", required=True, help="once a provider")
    parser.add_argument("--port", type=int, default=0, help="of the first; 0 lets the system choose (default)")
    parser.add_argument("--world", default="default", help="a built-in world or a file (default: default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="keep totals only, no row a request")
    parser.add_argument("--api-key-env", metavar="NAME", help="ask for the key in this environment variable")
    parser.add_argument("--supervised", action="store_true", help="end when standard input is closed")
    return parser


def _posts(options: argparse.Namespace) -> list[Post]:
    api_key = None
    if options.api_key_env is not None:
        api_key = os.environ.get(options.api_key_env)
        if not api_key:
            raise InputError(f"the environment variable {options.api_key_env} is not set", where="--api-key-env")
    world, book = read_world(options.world), QuestionBook(built_in_questions())
    parent = os.dup(0) if options.supervised else None
    regions = [normalise(region) for region in options.region]
    return [
        Post(
            region=region,
            port=options.port + index if options.port else 0,
            seed=_seed(options.seed, regions[:index].count(region)),
            world=world,
            book=book,
            record=not options.no_record,
            api_key=api_key,
            parent=parent,
        )
        for index, region in enumerate(regions)
    ]


def _seed(seed: int, replica: int) -> int:
    """Replicas of a region must not give the same answers: a repeat would count twice."""
    return seed + replica * 1_000_000_007


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _told(error: BeaconError) -> dict[str, Any]:
    return {"error": {"what": error.what, "where": error.where, "todo": error.todo}}


# -- the host of several


def _host(posts: list[Post]) -> None:
    """Forks a process a post, tells when each is ready, and stays until all have ended or it is stopped."""
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN if posts[0].parent is not None else _leave)
    children = []
    try:
        for post in posts:
            receiver, sender = _FORK.Pipe(duplex=False)
            child = _FORK.Process(target=_child, args=(post, sender), name=f"lab-{post.region}")
            child.start()
            sender.close()
            children.append((child, receiver))
        for child, receiver in children:
            _tell(_first_word(child.name, receiver))
        running = {child.sentinel: child for child, _ in children}
        while running:
            for sentinel in wait(list(running)):
                running.pop(cast(int, sentinel)).join()
    finally:
        for child, _ in children:
            child.terminate()
        for child, _ in children:
            child.join()


def _leave(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(ExitCode.DONE)


def _child(post: Post, sender: Connection) -> None:
    try:
        uvloop.run(_serve(post, sender.send))
    except BeaconError as error:
        sender.send(_told(error))


def _first_word(name: str, receiver: Connection) -> dict[str, Any]:
    try:
        word: dict[str, Any] = receiver.recv()
    except EOFError:
        raise UnavailableError("a process of the lab ended before it was ready", where=name) from None
    if "error" in word:
        raise InputError(**word["error"])
    return word


# -- one provider


async def _serve(post: Post, tell: Tell) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if post.parent is None:
        loop.add_signal_handler(signal.SIGINT, stop.set)
    else:
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(post.parent, _stop_at_end_of_file, post.parent, stop)
    writer = Scriptwriter(post.world, post.region, post.seed)
    provider = SimulatedProvider(writer, post.book, RequestLog(post.record), post.api_key)
    server = web.Server(provider.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    toxics = network(post.world, post.region)
    proxy: FaultProxy | None = None
    try:
        await web.TCPSite(runner, HOST, 0 if toxics else post.port, backlog=BACKLOG).start()
        own_port = port = runner.addresses[0][1]
        if toxics:
            proxy = FaultProxy(f"http://{HOST}:{own_port}", toxics, seed=post.seed)
            await proxy.start(post.port, BACKLOG)
            port = proxy.port
        told = {"region": post.region, "url": f"http://{HOST}:{port}/v1", "pid": os.getpid()}
        tell({**told, "own_url": f"http://{HOST}:{own_port}"})
        await stop.wait()
    except OSError as error:
        raise _cannot_listen(post.port, error) from None
    finally:
        if proxy is not None:
            await proxy.stop()
        await runner.cleanup()


def _cannot_listen(port: int, error: OSError) -> InputError:
    where = f"{HOST}:{port}"
    if error.errno == errno.EADDRINUSE:
        todo = "stop the program that uses it, or choose another port; 0 takes a free one"
        return InputError(f"port {port} is in use", where=where, todo=todo)
    return InputError(f"cannot listen on port {port}: {os.strerror(error.errno or 0)}", where=where)


def _stop_at_end_of_file(descriptor: int, stop: asyncio.Event) -> None:
    if not os.read(descriptor, 4096):
        asyncio.get_running_loop().remove_reader(descriptor)
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
