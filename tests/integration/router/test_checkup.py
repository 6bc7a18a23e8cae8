"""The doctor's look at one provider, against real servers that are wrong in one way each."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from beacon.domain.check import Check, Level, exit_code
from beacon.domain.fleet import Provider
from beacon.errors import ExitCode
from beacon.router.checkup import check_provider, probe_cost_usd
from tests.integration.agents import Inference, agent, serving
from tests.integration.router.conftest import MODEL, Scripted, refuses, says

Serve = Callable[..., Awaitable[Scripted]]
KEY = "sk-very-secret-key-000"


def lists(*models: str, status: int = 200, **headers: str) -> Any:
    async def script(request: web.Request) -> web.StreamResponse:
        if status != 200:
            said = f"no: {request.headers.get('Authorization')}"
            return web.json_response({"error": {"message": said}}, status=status, headers=headers)
        rows = [{"id": model, "object": "model"} for model in models]
        return web.json_response({"object": "list", "data": rows}, headers=headers)

    return script


async def examine(server: Scripted, *, probe: bool = False, **fields: Any) -> dict[str, Check]:
    provider = Provider.model_validate(server.provider(**fields))
    checks = await check_provider(provider, base=Path(), environ={"A_KEY": KEY}, probe=probe)
    return {check.about: check for check in checks}


def levels(checks: dict[str, Check]) -> dict[str, str]:
    return {about: check.level.value for about, check in checks.items()}


async def test_a_provider_in_order_is_ok_without_an_inference(serve: Serve) -> None:
    server = await serve(says(), models=lists(MODEL, "other", **{"X-Region": "us-east-1"}))
    checks = await examine(server, region_header="X-Region", api_key_env="A_KEY")
    assert levels(checks) == dict.fromkeys(("connection", "key", "models", "region", "clock"), "ok")
    assert "accepted on GET /models" in checks["key"].sentence
    assert server.requests == []


async def test_a_model_that_is_not_listed_is_named_with_the_nearest(serve: Serve) -> None:
    server = await serve(says(), models=lists("Meta/Alpha-7B-Instruct", "other"))
    checks = await examine(server, models={MODEL: "Meta/Alpha-7B-Instuct"})
    assert checks["models"].level is Level.ERROR
    assert "did you mean 'Meta/Alpha-7B-Instruct'?" in (checks["models"].todo or "")
    assert exit_code(list(checks.values())) is ExitCode.BAD_INPUT


async def test_a_model_that_is_not_listed_and_answers_is_warned_of(serve: Serve) -> None:
    server = await serve(says(), models=lists("other"))
    checks = await examine(server, probe=True)
    assert checks["models"].level is Level.WARNING
    assert checks[f"probe {MODEL}"].level is Level.OK
    assert len(server.requests) == 1


async def test_a_key_that_is_refused_is_an_error_that_does_not_repeat_it(serve: Serve) -> None:
    server = await serve(says(), models=lists(status=401))
    checks = await examine(server, api_key_env="A_KEY")
    assert checks["key"].level is Level.ERROR
    assert "HTTP 401" in checks["key"].sentence
    assert checks["key"].todo == "check the key in A_KEY"
    assert KEY not in repr(checks)


async def test_a_key_that_is_not_set_is_told_before_anything_is_called(serve: Serve) -> None:
    server = await serve(says(), models=lists(MODEL))
    (check,) = (await examine(server, api_key_env="NOT_SET")).values()
    assert (check.about, check.level) == ("configuration", Level.ERROR)
    assert "NOT_SET" in check.sentence


async def test_a_region_that_is_another_is_an_error(serve: Serve) -> None:
    server = await serve(says(), models=lists(MODEL, **{"X-Region": "eu-west-1"}))
    checks = await examine(server, region_header="X-Region")
    assert checks["region"].level is Level.ERROR
    assert 'it states "eu-west-1" where the fleet says us' in checks["region"].sentence
    assert levels(await examine(server, region_header="X-Other"))["region"] == "warning"


@pytest.mark.parametrize(("off_s", "level", "side"), [(0, "ok", "agrees"), (600, "warning", "ahead of")])
async def test_a_clock_that_is_off_is_warned_of(serve: Serve, off_s: float, level: str, side: str) -> None:
    async def script(request: web.Request) -> web.StreamResponse:
        now = time.time()
        return web.json_response({"data": [{"id": MODEL}]}, headers={"Date": formatdate(now + off_s, usegmt=True)})

    checks = await examine(await serve(says(), models=script))
    assert checks["clock"].level.value == level
    assert side in checks["clock"].sentence


@pytest.mark.parametrize(
    ("status", "headers", "level", "says_so"),
    [
        (404, {}, "warning", "no list of models"),
        (302, {"Location": "http://169.254.169.254/latest"}, "error", "a redirect"),
        (503, {}, "error", "HTTP 503"),
    ],
)
async def test_a_control_call_that_is_answered_otherwise(
    serve: Serve, status: int, headers: dict[str, str], level: str, says_so: str
) -> None:
    server = await serve(says(), models=lists(status=status, **headers))
    checks = await examine(server)
    assert checks["control call"].level.value == level
    assert says_so in checks["control call"].sentence


async def test_a_provider_that_can_be_cold_is_not_even_connected_to(serve: Serve) -> None:
    calls: list[str] = []

    async def script(request: web.Request) -> web.StreamResponse:
        calls.append(request.path)
        return web.json_response({"data": [{"id": MODEL}]})

    server = await serve(says(), models=script)
    checks = await examine(server, cold_start="60s")
    assert levels(checks) == {"connection": "ok", "control call": "ok"}
    assert "would wake it" in checks["control call"].sentence
    assert (calls, server.requests) == ([], [])
    checks = await examine(server, cold_start="60s", probe=True)
    assert checks[f"probe {MODEL}"].level is Level.OK
    assert (len(calls), len(server.requests)) == (1, 1)


async def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        checks = await examine(Scripted(says(), url=url))
        assert (checks["connection"].level, checks["connection"].unreachable) == (Level.ERROR, True)
        assert exit_code(list(checks.values())) is ExitCode.UNAVAILABLE
        https = await examine(Scripted(says(), url="https://no-such-host.invalid/v1"))
        assert "the name no-such-host.invalid was not found" in https["connection"].sentence


async def test_plain_http_behind_https_is_told(serve: Serve) -> None:
    server = await serve(says(), models=lists(MODEL))
    checks = await examine(server, url=server.url.replace("http:", "https:"))
    assert "speaks no TLS" in checks["connection"].sentence


async def test_a_probe_that_fails_says_why(serve: Serve) -> None:
    server = await serve(refuses(500, {"error": {"message": "out of memory"}}), models=lists(MODEL))
    check = (await examine(server, probe=True))[f"probe {MODEL}"]
    assert check.level is Level.ERROR
    assert "out of memory" in check.sentence
    assert check.todo


def test_what_a_probe_costs_is_unknown_without_a_price() -> None:
    fields = Scripted(says(), url="http://127.0.0.1:9/v1").provider()
    assert probe_cost_usd(Provider.model_validate(fields)) is None
    priced = {"input_per_mtok": 1.0, "output_per_mtok": 2.0}
    assert 0 < (probe_cost_usd(Provider.model_validate({**fields, "cost": priced})) or 0) < 0.001


async def test_an_agent_that_is_there_but_not_under_its_url_is_an_error(tmp_path: Path) -> None:
    inference = Inference(models=[MODEL])
    async with serving(inference), agent(inference.url, tmp_path / "agent.db", region="eu") as url:
        told = {}
        for address in (url, f"{url}/v1"):
            fields = {"name": "a", "region": "eu", "transport": "agent", "url": address, "models": [MODEL]}
            checks = await check_provider(Provider.model_validate(fields), base=Path(), environ={})
            told[address] = {check.about: check for check in checks}
    wrong = told[url]["control call"]
    assert wrong.level is Level.ERROR
    assert "up to and with /v1" in (wrong.todo or "")
    assert "models" not in told[url]
    assert exit_code(list(told[url].values())) is ExitCode.BAD_INPUT
    assert exit_code(list(told[f"{url}/v1"].values())) is ExitCode.DONE
