"""The Modal deployment, as far as it can be tried without Modal."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from beacon.domain.fleet import parse_fleet
from beacon.domain.regions import normalise

FOLDER = Path(__file__).parents[2] / "deploy" / "modal"


def region_header() -> Any:
    spec = importlib.util.spec_from_file_location("region_header", FOLDER / "region_header.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_fleet_serves_three_models_in_three_regions() -> None:
    fleet = parse_fleet((FOLDER / "fleet.yaml").read_text(encoding="utf-8"), "fleet.yaml")
    assert {(m, p.region) for p in fleet.providers for m in p.models} == {
        (model, region) for model in ("llama3.2-1b", "qwen2.5-1.5b", "mistral-7b") for region in ("us", "eu", "apac")
    }
    for provider in fleet.providers:
        (model,) = provider.models
        assert f"--beacon-{model.replace('.', '-')}-{provider.region}.modal.run/v1" in (provider.url or "")


@pytest.mark.parametrize(
    ("told", "region"), [("us-ashburn-1", "us"), ("eu-west-1", "eu"), ("europe-west4", "eu"), ("ap-tokyo-1", "apac")]
)
async def test_the_region_that_the_platform_tells_is_stated_on_each_response(monkeypatch, told, region) -> None:
    monkeypatch.setenv("MODAL_REGION", told)
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await region_header().RegionHeader(app)({"type": "http"}, receive, send)
    assert sent[0]["headers"] == [(b"content-type", b"text/plain"), (b"x-region", region.encode())]
    assert normalise(region) == region


def test_a_place_that_is_not_known_is_stated_as_it_is() -> None:
    assert region_header().stated_region("ca-toronto-1") == "ca-toronto-1"
    assert region_header().stated_region("") == "unknown"


def test_the_app_compiles() -> None:
    compile((FOLDER / "app.py").read_text(encoding="utf-8"), "app.py", "exec")
