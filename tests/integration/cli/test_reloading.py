"""A fleet file that is saved anew while Beacon runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from structlog.testing import capture_logs

from beacon.cli import reloading
from beacon.cli.reloading import following
from beacon.router.router import Router
from beacon.runner.inputs import read_fleet


def write(path: Path, *providers: dict) -> None:
    """At once, as editors do."""
    rows = [
        {"region": "us", "transport": "openai", "url": "http://127.0.0.1:9/v1", "models": ["alpha"], **provider}
        for provider in providers
    ]
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump({"schema": "beacon.fleet/v1", "providers": rows}))
    fresh.replace(path)


@asynccontextmanager
async def followed(path: Path) -> AsyncIterator[Router]:
    file = read_fleet(path)
    async with Router(file.fleet, base=file.base, environ={}) as router, following(router, file):
        yield router


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not told():
            await asyncio.sleep(0.01)


def limits(router: Router) -> dict[str, int]:
    return {provider.name: provider.limit for provider in router.snapshot()}


async def test_a_saved_fleet_is_followed_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_S", 0.02)
    path = tmp_path / "fleet.yaml"
    write(path, {"name": "us-a", "concurrency": 4})
    async with followed(path) as router:
        write(path, {"name": "us-a", "concurrency": 9}, {"name": "us-b", "concurrency": 3})
        await until(lambda: limits(router) == {"us-a": 9, "us-b": 3})


async def test_a_hangup_signal_has_the_file_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_S", 600.0)
    path = tmp_path / "fleet.yaml"
    write(path, {"name": "us-a", "concurrency": 4})
    async with followed(path) as router:
        await asyncio.sleep(0)  # it follows from here on
        write(path, {"name": "us-a", "concurrency": 9})
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: limits(router) == {"us-a": 9})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"name": "us-a", "concurrency": 0}, "concurrency"),
        ({"name": "us-a", "api_key_env": "NOT_SET_ANYWHERE"}, "NOT_SET_ANYWHERE"),
        ({"name": "us-a", "simulated": True}, "alpha in us was served by real providers, and 'us-a' is simulated"),
    ],
)
async def test_a_bad_fleet_is_refused_whole_and_the_old_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict, says: str
) -> None:
    monkeypatch.setattr(reloading, "LOOK_S", 0.02)
    path = tmp_path / "fleet.yaml"
    write(path, {"name": "us-a", "concurrency": 4})
    async with followed(path) as router:
        with capture_logs() as logs:
            write(path, {"name": "us-b"}, wrong)
            await until(lambda: bool(logs))
        assert logs[0]["event"] == "the fleet file is refused, and the fleet stays as it is"
        assert says in logs[0]["why"]
        assert limits(router) == {"us-a": 4}
        write(path, {"name": "us-a", "concurrency": 5})
        await until(lambda: limits(router) == {"us-a": 5})
