"""`doctor`: one look at everything, and an exit code that a script can use."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.integration.runner.scripted import Scripted, answer, serving


async def friendly(_number, _body, _request):
    return answer()


async def test_all_is_well_before_and_after_a_job_and_nothing_is_asked_or_made(ready):
    us, eu = Scripted(friendly), Scripted(friendly)
    async with serving(us, eu):
        ready.write_fleet(us, eu)
        ready.database.unlink()
        before = await ready("doctor")
        assert before.code == 0, before.out
        assert "no errors, no warnings" in before.out
        assert not ready.database.exists()
        assert not (ready.folder / "data").exists()
        assert us.bodies == eu.bodies == []
        assert (await ready("run", "spec.yaml", "--json")).code == 0
        told = (await ready("doctor", "--json")).document
    house, *providers = told["subjects"]
    assert {check["about"]: check["level"] for check in house["checks"]} == dict.fromkeys(
        ("database", "signing key", "log"), "ok"
    )
    assert "1 sealed job" in house["checks"][2]["sentence"]
    assert [provider["name"] for provider in providers] == ["us-a", "eu-a"]
    assert (told["exit_code"], told["counts"]["error"]) == (0, 0)


async def test_every_fault_is_told_with_what_to_do_on_a_narrow_terminal(ready):
    with closing(sqlite3.connect(ready.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    ready.environment["COLUMNS"] = "80"
    ran = await ready("doctor")
    assert ran.code == 3
    assert max(map(len, ran.out.splitlines())) <= 80
    for words in ("newer Beacon", "connection refused", "to do: use the newer", "3 errors, no warnings"):
        assert words in " ".join(ran.out.split())


async def test_a_probe_says_what_it_will_cost_before_it_asks(ready):
    us, eu = Scripted(friendly), Scripted(friendly)
    async with serving(us, eu):
        ready.write_fleet(us, eu, cold_start="5s")
        ran = await ready("doctor", "--probe")
    assert ran.code == 0, ran.out
    assert ran.err.startswith("Probing: 2 inferences of at most 16 tokens each, an unknown cost; wakes us-a, eu-a")
    assert 'answered "An answer." in ' in ran.out
    assert 'it calls itself "alpha"' in ran.out
    assert len(us.bodies) == len(eu.bodies) == 1


async def test_a_fleet_that_cannot_be_read_is_a_finding_among_the_others(ready):
    (ready.folder / "fleet.yaml").write_text("schema: beacon.fleet/v1\nproviders: []\n")
    ran = await ready("doctor", "--json")
    assert ran.code == 2
    assert [subject["name"] for subject in ran.document["subjects"]] == ["this installation", "fleet"]
