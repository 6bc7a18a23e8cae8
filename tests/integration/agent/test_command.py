"""`beacon agent` as a process: how it starts, what it refuses, and what `kill -9` leaves."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.integration.agents import Client, Inference, completion, serving


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "beacon.cli.main", "agent", *arguments]
    own = {name: value for name, value in os.environ.items() if not name.startswith("BEACON_")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**own, **environment})


def options(address_of_upstream: str, file: Path, **changes: str) -> list[str]:
    given = {"region": "us", "upstream": address_of_upstream, "state": str(file), "port": "0", **changes}
    return [word for name, value in given.items() for word in (f"--{name}", value)]


async def address(process: subprocess.Popen[str]) -> str:
    line = await asyncio.to_thread(process.stderr.readline)
    found = re.search(r"http://[\d.]+:\d+", line)
    assert found, line
    return found[0]


async def end(process: subprocess.Popen[str], how: signal.Signals) -> int:
    process.send_signal(how)
    await asyncio.to_thread(process.communicate)
    return process.returncode


async def test_after_kill_9_answers_are_there_waiting_work_is_done_and_no_key_is_asked_twice(tmp_path):
    hang = asyncio.Event()

    async def act(_: web.Request) -> web.StreamResponse:
        if len(inference.keys) == 2:
            await hang.wait()
        return web.json_response(completion())

    async with serving(Inference(act)) as inference:
        arguments = options(inference.url, tmp_path / "state.db", concurrency="1")
        process = start(*arguments)
        async with Client(await address(process)) as client:
            await client.put("answered")
            await client.until_over("answered")
            await client.put("under-way")
            await client.put("waiting")
            async with asyncio.timeout(30):
                while not inference.keys["under-way"]:
                    await asyncio.sleep(0.01)
        await end(process, signal.SIGKILL)
        process = start(*arguments)
        async with Client(await address(process)) as client:
            states = [(await client.until_over(key))["state"] for key in ("answered", "under-way", "waiting")]
        assert await end(process, signal.SIGTERM) == 130
    assert states == ["done", "lost", "done"]
    assert inference.keys == {"answered": 1, "under-way": 1, "waiting": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": "0.0.0.0"}, "BEACON_AGENT_KEY"),
        ({"upstream": "127.0.0.1:8000"}, "--upstream"),
        ({"keep": "soon"}, "--keep"),
        ({"keep": "0s"}, "--keep"),
        ({"concurrency": "0"}, "--concurrency"),
        ({"queue": "-1"}, "--queue"),
        ({"model": "=x"}, "--model"),
        ({"region": "???"}, "region"),
        ({"state": "/nowhere/state.db"}, "--state"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(tmp_path, change, said):
    process = start(*options("http://127.0.0.1:9/v1", tmp_path / "state.db", **change))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    assert said in errors
    assert "Traceback" not in errors


async def test_with_a_key_any_address_is_served_to_those_who_know_it(tmp_path):
    async with serving(Inference()) as inference:
        arguments = options(inference.url, tmp_path / "state.db", host="0.0.0.0")
        process = start(*arguments, BEACON_AGENT_KEY="secret")
        url = (await address(process)).replace("0.0.0.0", "127.0.0.1")
        async with Client(url) as client:
            assert (await client.put("k.1"))[0] == 401
        async with Client(url, {"Authorization": "Bearer secret"}) as client:
            assert (await client.put("k.1"))[0] == 202
            await client.until_over("k.1")
        await end(process, signal.SIGINT)
