"""`GET /api/v1/jobs/{id}/bundle`: the sealed job as a file that verifies."""

from __future__ import annotations

from pathlib import Path

import httpx

from beacon.store.database import Database
from beacon.verify.bundle import verify_bundle
from tests.integration.runner.conftest import Bench
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def politely(number, body, request):
    return answer(f"Answer {number}.")


async def test_the_bundle_that_is_fetched_verifies(
    client: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    us = Scripted(politely)
    async with serving(us):
        fleet = fleet_of({"us": us})
        waiting = await Bench(database).submit(fleet)
        early = await client.get(f"/api/v1/jobs/{waiting}/bundle")
        job = await Bench(database).run(fleet, repeats=1)
    assert early.status_code == 404
    assert "no seal yet" in early.json()["detail"]
    response = await client.get(f"/api/v1/jobs/{job.id}/bundle")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/zip")
    assert response.headers["content-disposition"] == f'attachment; filename="{job.id}-1.zip"'
    assert int(response.headers["content-length"]) == len(response.content)
    path = tmp_path / "fetched.zip"
    path.write_bytes(response.content)
    result = verify_bundle(path)
    assert (result.ok, result.job_id) == (True, job.id)
    again = await client.get(f"/api/v1/jobs/{job.id}/bundle?generation=2")
    assert again.status_code == 404


async def test_a_job_that_is_not_there_has_no_bundle(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/jobs/none/bundle")).status_code == 404
