"""A provider's key goes to that provider and nowhere else, whatever the provider does with it."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.integration.cli.test_server import served
from tests.integration.runner.scripted import Scripted, answer, serving

KEY = "sk-4f1c0ffee-nobody-may-see-this"

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("export", "--format", "jsonl"),
    ("export", "--format", "csv"),
    ("export", "--format", "bundle", "--output", "job.bundle"),
    ("show",),
    ("show", "--json"),
    ("report",),
    ("jobs", "--json"),
    ("plan", "spec.yaml", "--json"),
    ("doctor",),
    ("doctor", "--probe"),
)
WITHOUT_JOB = COMMANDS[-4:]


async def blabs(number: int, _body: dict, request: web.Request) -> web.StreamResponse:
    """Repeats its Authorization header in errors, headers, names and answers."""
    seen = request.headers["Authorization"]
    if number % 3 == 0:
        return web.json_response({"error": {"message": f"bad header: {seen}"}}, status=500, headers={"X-Seen": seen})
    if number % 3 == 1:
        return web.Response(text=f"<html>{seen}</html>", status=502, content_type="text/html")
    response = answer(f"You sent {seen}.")
    response.headers["X-Upstream"] = f"host for {seen}"
    return response


async def refuses(_number: int, _body: dict, request: web.Request) -> web.StreamResponse:
    seen = request.headers["Authorization"]
    return web.json_response({"error": {"message": f"no such key: {seen}"}}, status=401)


def contents(path: Path) -> list[bytes]:
    """The bytes of a file, and of what is packed in it."""
    raw = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            return [raw, *(packed.read(name) for name in packed.namelist())]
    if tarfile.is_tarfile(path):
        with tarfile.open(path) as packed:
            members = [packed.extractfile(member) for member in packed.getmembers()]
            return [raw, *(member.read() for member in members if member is not None)]
    if raw[:2] == b"\x1f\x8b":
        return [raw, gzip.GzipFile(fileobj=io.BytesIO(raw)).read()]
    return [raw]


@pytest.fixture
def keyed(ready):
    ready.environment["A_KEY"] = KEY
    return ready


async def test_a_key_is_in_no_output_and_no_file(keyed):
    us, eu = Scripted(blabs), Scripted(refuses)
    async with serving(us, eu):
        keyed.write_fleet(us, eu, api_key_env="A_KEY", upstream_header="X-Upstream", concurrency=1)
        ran = await keyed("run", "spec.yaml", "--json")
        job = ran.job_id
        told = [
            ran,
            *[await keyed(*arguments, *(() if arguments in WITHOUT_JOB else (job,))) for arguments in COMMANDS],
        ]
        async with served(keyed, "fleet.yaml") as address, aiohttp.ClientSession() as session:
            for path in ("jobs", f"jobs/{job}", f"jobs/{job}/executions", f"jobs/{job}/report"):
                async with session.get(f"{address}/api/v1/{path}") as response:
                    assert response.status == 200, path
                    assert KEY not in await response.text(), path
            async with session.get(f"{address}/jobs/{job}") as response:
                assert KEY not in await response.text()
    assert us.bodies
    assert eu.bodies
    assert "You sent Bearer [key]." in told[1].out
    assert "host for Bearer [key]" in told[1].out
    assert "no such key: Bearer [key]" in told[1].out
    assert "[key]" in told[-1].out
    for said in told:
        assert KEY not in said.out + said.err
    files = [path for path in keyed.folder.rglob("*") if path.is_file()]
    assert {"beacon.db", "job.bundle"} <= {path.name for path in files}
    for path in files:
        for content in contents(path):
            assert KEY.encode() not in content, path


async def test_a_fleet_address_with_credentials_is_refused_without_repeating_them(keyed):
    for url in (f"http://user:{KEY}@127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?key={KEY}"):
        text = (keyed.folder / "fleet.yaml").read_text().replace("http://127.0.0.1:9/v1", url)
        (keyed.folder / "other.yaml").write_text(text)
        for command in (("plan", "spec.yaml"), ("doctor",)):
            ran = await keyed(*command, "--fleet", "other.yaml")
            assert ran.code == 2
            said = " ".join((ran.out + ran.err).split())
            assert "an address must not" in said
            assert KEY not in said


async def test_a_key_written_into_the_fleet_is_refused_without_repeating_it(keyed):
    text = (keyed.folder / "fleet.yaml").read_text().replace("region: us", f"region: us\n  api_key: {KEY}")
    (keyed.folder / "fleet.yaml").write_text(text)
    ran = await keyed("doctor")
    assert ran.code == 2
    assert "the key itself never stands in a fleet" in " ".join(ran.out.split())
    assert KEY not in ran.out + ran.err
