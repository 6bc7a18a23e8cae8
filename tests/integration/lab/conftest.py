"""Real lab processes over real HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from beacon.lab.fleet import open_lab


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """The data of each event, whole ones only."""
        return [part.removeprefix("data: ") for part in self.body.decode().split("\n\n")[:-1]]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def text(self) -> str:
        if self.headers["Content-Type"].startswith("text/event-stream"):
            deltas = [chunk["choices"][0]["delta"] for chunk in self.chunks if chunk.get("choices")]
            return "".join(delta.get("content", "") for delta in deltas)
        return self.json["choices"][0]["message"]["content"]


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as open_session:
        yield open_session


@pytest.fixture
def ask(session):
    """Asks the provider at a URL (with `/v1`); returns the reply, or raises what aiohttp raises."""

    async def send(
        url: str,
        model: str,
        question: str = "Why?",
        *,
        key: str | None = None,
        attempt: int | None = None,
        headers: dict[str, str] | None = None,
        **more,
    ) -> Reply:
        sent = dict(headers or {})
        if key is not None:
            sent["X-Beacon-Key"] = key
        if attempt is not None:
            sent["X-Beacon-Attempt"] = str(attempt)
        body = {"model": model, "messages": [{"role": "user", "content": question}], **more}
        async with session.post(f"{url}/chat/completions", json=body, headers=sent) as response:
            return Reply(response.status, dict(response.headers), await response.read())

    return send


@pytest.fixture(scope="session")
def world_file(tmp_path_factory):
    """Writes a world of models that each do one thing: `world_file({"m": {...}})` gives its path."""

    def write(behaviours: dict[str, dict[str, Any]], name: str = "test") -> str:
        rules = [{"when": {"models": [model]}, **acts} for model, acts in behaviours.items() if acts]
        world = {
            "schema": "beacon.world/v1",
            "name": name,
            "models": {model: model for model in behaviours},
            "rules": rules,
        }
        path = tmp_path_factory.mktemp("world") / f"{name}.yaml"
        path.write_text(json.dumps(world))
        return str(path)

    return write


@pytest.fixture(scope="module")
def instant():
    """A lab without latency in us and eu."""
    with open_lab("instant", regions=("us", "eu"), seed=7) as lab:
        yield lab
