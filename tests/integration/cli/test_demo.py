"""`demo`: what it advises can be done, and it leaves nothing behind that it was not asked to keep."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.cli.conftest import PATIENCE_S, Beacon, interrupt


@pytest.mark.slow
async def test_a_demo_that_keeps_nothing_advises_nothing_that_needs_it(beacon: Beacon) -> None:
    ran = await beacon("demo", "--once", "--port", "0")
    assert ran.code == 0, ran.err
    assert "beacon report" not in ran.out.replace("the job is kept for `beacon report`", "")
    assert (await beacon("log")).out.count("generation") == 0


@pytest.mark.slow
async def test_a_demo_with_a_database_advises_a_command_that_works(beacon: Beacon) -> None:
    kept = beacon.folder / "demo.db"
    ran = await beacon("demo", "--once", "--port", "0", "--database", str(kept))
    assert ran.code == 0, ran.err
    advised = ran.out.rpartition("All of them: beacon ")[2].split()
    assert (await beacon(*advised)).code == 0


@pytest.mark.slow
async def test_ctrl_c_is_the_normal_end_of_a_demo_whose_job_is_done(beacon: Beacon) -> None:
    showing = await beacon.start("demo", "--port", "0")
    assert showing.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while b"until you press Ctrl-C" not in (line := await showing.stderr.readline()):
            assert line, "it ended by itself"
        interrupt(showing)
        await showing.communicate()
    assert showing.returncode == 0
