"""`run --server`: a `beacon serve` does the work, the client shows the same."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from contextlib import asynccontextmanager

from aiohttp import web

from tests.integration.cli.conftest import PATIENCE_S


@asynccontextmanager
async def served(beacon, fleet="lab", *options):
    """The address of a `beacon serve`, by default over the lab."""
    process = await beacon.start("serve", "--fleet", fleet, "--port", "0", *options)
    reading = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while (found := re.search(r"http://[0-9.:]+", line := (await process.stderr.readline()).decode())) is None:
                assert line, "the server ended"
        reading = asyncio.create_task(process.stderr.read())
        yield found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        if reading is not None:
            await reading
    assert process.returncode == 130


async def test_a_server_runs_the_job_and_refuses_as_the_embedded_runner_does(ready):
    pack = "schema: beacon.pack/v1\nname: own\ntitle: Own\nquestions: [{id: own-one, text: What is one plus one?}]\n"
    (ready.folder / "own.yaml").write_text(pack)
    ready.write_spec(
        models=["mistral-7b"], questions=[{"pack": "./own.yaml"}], repeats=2, personas=["none", "regional"]
    )
    async with served(ready) as address:
        ran = await ready("run", "spec.yaml", "--server", address, "--json")
        assert ran.code == 0, ran.err
        assert ran.document["job_id"] == ran.job_id
        counts = {"total": 8, "completed": 8, "failed": 0, "timed_out": 0, "cancelled": 0}
        assert ran.document["counts"] == counts
        assert ran.document["simulated"] is True
        here = (await ready("show", ran.job_id, "--json")).document
        assert here["findings"] == ran.document["findings"]
        assert here["barrier_gap_ms"] == ran.document["barrier_gap_ms"]

        execution = f"{ran.job_id}-000000"
        explained = (await ready("explain", execution, "--server", address, "--json")).document
        assert explained["status"] == "completed"
        assert (await ready("explain", execution, "--json")).document["waterfall"] == explained["waterfall"]
        assert "inference" in (await ready("explain", execution)).out

        followed = await ready("run", "--resume", ran.job_id, "--server", f"{address}/")
        assert followed.code == 0, followed.err
        assert "8 of 8 completed" in followed.out

        ready.write_spec(models=["mistral-7"])
        refused = await ready("run", "spec.yaml", "--server", address, "--json")
        assert (refused.code, refused.out) == (2, "")
        assert "models[0]: unknown model 'mistral-7'" in refused.err
        assert "did you mean 'mistral-7b'?" in refused.err
        unknown = await ready("run", "--resume", "no-such-job", "--server", address)
        assert unknown.code == 2
        assert "no job 'no-such-job'" in unknown.err
    assert ready.jobs_stored() == 1


async def test_a_server_that_cannot_be_reached_or_is_something_else_is_said(ready):
    with socket.socket() as closed:
        # Bound and not listening: whoever connects is refused, and nobody else gets the port.
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        ran = await ready("run", "spec.yaml", "--server", nowhere)
    assert (ran.code, ran.out) == (3, "")
    assert "the server cannot be reached: connection refused\n" in ran.err
    assert nowhere in ran.err

    async def page(request):
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        foreign = await ready("run", "spec.yaml", "--server", f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert foreign.code == 3
    assert "no Beacon server" in foreign.err

    both = await ready("run", "spec.yaml", "--server", nowhere, "--fleet", "fleet.yaml")
    assert both.code == 2
    assert "its own fleet" in both.err
    address = await ready("run", "spec.yaml", "--server", "localhost:8080")
    assert address.code == 2
    assert "http://127.0.0.1:8080" in address.err
    assert ready.jobs_stored() == 0
