"""The process of one simulated provider.

    python -m beacon.lab.server --region us --port 0 --world default --seed 7

It listens on 127.0.0.1, prints one line of JSON when it is ready, `{"region": …, "url": …}`, and ends on
SIGTERM or SIGINT. With `--supervised` its life hangs on its standard input: it ends when that is closed, which
happens however its parent dies; it ignores SIGINT, which a terminal sends to the whole group; and it tells an
error as the line `{"error": {"what": …, "where": …, "todo": …}}`.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import json
import os
import signal
import sys

import uvloop
from aiohttp import web

from beacon.domain.regions import normalise
from beacon.errors import BeaconError, ExitCode, InputError
from beacon.lab.knowledge import QuestionBook, built_in_questions
from beacon.lab.provider import SimulatedProvider
from beacon.lab.request_log import RequestLog
from beacon.lab.script import Scriptwriter
from beacon.lab.world import read_world

HOST = "127.0.0.1"
BACKLOG = 1024
SHUTDOWN_S = 0.2


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        uvloop.run(_serve(options, _provider(options)))
    except BeaconError as error:
        if options.supervised:
            told = {"what": error.what, "where": error.where, "todo": error.todo}
            print(json.dumps({"error": told}), flush=True)
        else:
            print(error.explain(), file=sys.stderr)
        return error.exit_code
    return ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m beacon.lab.server", description="One simulated provider."
    )
    parser.add_argument("--region", required=True)
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose (default)")
    parser.add_argument("--world", default="default", help="a built-in world or a file (default: default)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true", help="keep totals only, no row a request")
    parser.add_argument("--api-key-env", metavar="NAME", help="ask for the key in this environment variable")
    parser.add_argument("--supervised", action="store_true", help="end when standard input is closed")
    return parser


def _provider(options: argparse.Namespace) -> SimulatedProvider:
    api_key = None
    if options.api_key_env is not None:
        api_key = os.environ.get(options.api_key_env)
        if not api_key:
            raise InputError(
                f"the environment variable {options.api_key_env} is not set", where="--api-key-env"
            )
    writer = Scriptwriter(read_world(options.world), normalise(options.region), options.seed)
    return SimulatedProvider(
        writer, QuestionBook(built_in_questions()), RequestLog(not options.no_record), api_key
    )


async def _serve(options: argparse.Namespace, provider: SimulatedProvider) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if options.supervised:
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_reader(0, _stop_at_end_of_input, stop)
    else:
        loop.add_signal_handler(signal.SIGINT, stop.set)
    server = web.Server(provider.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, HOST, options.port, backlog=BACKLOG)
    try:
        await site.start()
        gc.freeze()
        port = runner.addresses[0][1]
        print(json.dumps({"region": provider.region, "url": f"http://{HOST}:{port}/v1"}), flush=True)
        await stop.wait()
    except OSError as error:
        raise _cannot_listen(options.port, error) from None
    finally:
        await runner.cleanup()


def _cannot_listen(port: int, error: OSError) -> BeaconError:
    where = f"{HOST}:{port}"
    if error.errno == errno.EADDRINUSE:
        todo = "stop the program that uses it, or choose another port; 0 takes a free one"
        return InputError(f"port {port} is in use", where=where, todo=todo)
    return InputError(f"cannot listen on port {port}: {os.strerror(error.errno or 0)}", where=where)


def _stop_at_end_of_input(stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
