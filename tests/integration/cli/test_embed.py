"""Embeddings over real HTTP: fetched once, kept, and compared in a further report."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.integration.cli.conftest import Beacon
from tests.integration.runner.scripted import Scripted, answer, serving

SAID = {"us": "The river is long and the mountain is high, as all know.", "eu": "No letter came, and nobody wrote one."}


def says(region: str):
    async def act(number, body, request):
        return answer(f"{SAID[region]} {'!' * (number % 4)}")

    return Scripted(act)


class Embeds:
    """`/v1/embeddings`: texts that speak of a river point one way, all others another; rows come in reverse."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self.status != 200:
            return web.json_response({"error": {"message": "no such model here"}}, status=self.status)
        self.asked += body["input"]
        rows = [
            {"index": place, "object": "embedding", "embedding": [1.0, float("river" in text), len(text) / 1000]}
            for place, text in enumerate(body["input"])
        ]
        return web.json_response({"object": "list", "data": rows[::-1], "model": body["model"]})


@asynccontextmanager
async def embedding(embeds: Embeds):
    app = web.Application()
    app.router.add_post("/v1/embeddings", embeds.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    embeds.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def done(ready: Beacon) -> tuple[Beacon, str]:
    questions = [{"id": f"q{n}", "text": f"What is {n} and {n}?"} for n in range(8)]
    ready.write_spec(questions=questions, repeats=3)
    us, eu = says("us"), says("eu")
    async with serving(us, eu):
        ready.write_fleet(us, eu)
        ran = await ready("run", "spec.yaml", "--json")
    assert ran.code == 0, ran.err
    return ready, ran.job_id


def write_fleet(beacon: Beacon, embeds: Embeds) -> None:
    (beacon.folder / "embeds.yaml").write_text(
        "schema: beacon.fleet/v1\nproviders:\n"
        f"  - {{name: vectors, region: us, transport: openai, url: '{embeds.url}', models: {{minilm: all-minilm}}}}\n"
    )


async def test_texts_are_embedded_once_and_compared_in_a_further_report(done):
    beacon, job_id = done
    embeds = Embeds()
    async with embedding(embeds):
        write_fleet(beacon, embeds)
        command = ("embed", job_id, "--model", "minilm", "--fleet", "embeds.yaml", "--json")
        planned = (await beacon(*command)).document
        assert planned["to_embed"] == len(set(embeds.asked)) or not embeds.asked, "nothing is sent unasked"
        ran = await beacon(*command, "--yes")
        assert ran.code == 0, ran.err
        assert ran.document["embedded"] == planned["to_embed"] == len(embeds.asked)
        again = (await beacon(*command, "--yes")).document
        assert (again["embedded"], again["known"]) == (0, planned["to_embed"])
    assert len(embeds.asked) == len(set(embeds.asked)), "no text is asked about twice"
    report = (await beacon("report", job_id, "--again", "--embeddings", "minilm", "--json")).document
    assert report["embedding_model"] == "minilm"
    (found,) = [f for f in report["findings"] if f["measure"] == "embedding_distance"]
    assert (found["factor"], found["groups"], found["call"]) == ("region", ["us", "eu"], "difference")
    assert "gives answers with other embeddings" in found["sentence"]
    assert any("not in what" in caveat for caveat in found["caveats"])


async def test_a_report_by_vectors_that_are_not_there_says_how_to_get_them(done):
    beacon, job_id = done
    ran = await beacon("report", job_id, "--again", "--embeddings", "minilm", "--json")
    assert ran.code == 3
    assert "beacon embed JOB --model minilm --yes" in ran.err


async def test_what_the_provider_says_against_it_is_told(done):
    beacon, job_id = done
    embeds = Embeds()
    embeds.status = 404
    async with embedding(embeds):
        write_fleet(beacon, embeds)
        ran = await beacon("embed", job_id, "--model", "minilm", "--fleet", "embeds.yaml", "--yes")
    assert ran.code == 3
    assert "HTTP 404" in ran.err
    assert "no such model here" in ran.err


async def test_a_model_that_the_fleet_does_not_have_is_refused(done):
    beacon, job_id = done
    ran = await beacon("embed", job_id, "--model", "minilm")
    assert ran.code == 2
    assert "unknown model 'minilm'" in ran.err
