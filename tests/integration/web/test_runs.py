"""The runs of a schedule over time, as the page says it."""

from __future__ import annotations

import csv
import io

import pytest

from beacon.store import schedules
from beacon.store.tables import ticks
from beacon.web.app import create_app
from tests.integration.web.scene import CLOCK, FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_compare import Drifting, drifted, finding
from tests.integration.web.test_pages import HOSTILE, Elements


@pytest.fixture
def drifting() -> Drifting:
    return Drifting()


@pytest.fixture
def app(database, drifting):
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, drift=drifting)


async def scheduled(database, runs: int, name: str = "Each week") -> tuple[str, list[str]]:
    """A schedule with so many runs that are over, a week apart, and a tick that was missed."""
    spec, now = make_spec(name=name), CLOCK.wall()
    documents = (spec.model_dump_json(by_alias=True), FLEET.model_dump_json(by_alias=True))
    await database.write(schedules.add, "s1", name, "0 6 * * 1", documents, now, pins=False)
    ids = []
    for number in range(runs):
        scene = await Scene.begin(database, spec)
        await scene.run(scene.works)
        await scene.finish()
        await note_run(database, "s1", now - 7 * 86_400 * (runs - number), scene.job_id)
        ids.append(scene.job_id)
    await database.write(schedules.fire, "s1", now, None, (spec, ("", "", "")), now)
    return "s1", ids


async def note_run(database, schedule_id: str, at: float, job_id: str) -> None:
    """As `schedules.fire` notes a tick, with a job that is there already."""

    def write(connection) -> None:
        connection.execute(ticks.insert().values(schedule_id=schedule_id, tick_at=at, fired_at=at, job_id=job_id))

    await database.write(write)


async def test_each_run_is_told_against_the_baseline_with_interval_and_test(client, database, drifting):
    schedule, ids = await scheduled(database, 3)
    told = "alpha in eu: provider eu-a (40) in the first run, eu-b (40) in the second."
    drifting.document = drifted(finding("difference", "alpha"), finding("undecided", "beta"), differences=(told,))
    page = Elements((await client.get(f"/drift?schedule={schedule}")).text).text
    assert drifting.asked == [(ids[0], ids[1]), (ids[0], ids[2])]
    assert page.index(told) < page.index("Change since the baseline"), "what was not alike is said first"
    for number in ("+25", "+11 to +40", "p <0.001, q 0.006, n 80", "holds", "undecided"):
        assert number in page
    assert "missed" in page


async def test_the_baseline_and_how_many_runs_stand_in_the_address(client, database, drifting):
    schedule, ids = await scheduled(database, 4)
    await client.get("/drift", params={"schedule": schedule, "last": "3"})
    assert drifting.asked == [(ids[1], ids[2]), (ids[1], ids[3])]
    drifting.asked.clear()
    await client.get("/drift", params={"schedule": schedule, "last": "3", "base": ids[0]})
    assert drifting.asked == [(ids[0], ids[1]), (ids[0], ids[2]), (ids[0], ids[3])]


async def test_changes_over_time_are_a_file(client, database, drifting):
    schedule, ids = await scheduled(database, 3)
    drifting.document = drifted(finding("difference", "alpha"), finding("difference", "beta"))
    picture = await client.get("/drift/over-time.svg", params={"schedule": schedule})
    assert picture.headers["content-type"] == "image/svg+xml"
    text = (await client.get("/drift/over-time.csv", params={"schedule": schedule, "model": "beta"})).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["model"], row["job"], row["low"]) for row in rows] == [("beta", job, "0.11") for job in ids[1:]]


@pytest.mark.parametrize("runs", [0, 1])
async def test_one_run_is_no_change(client, database, drifting, runs):
    schedule, _ = await scheduled(database, runs)
    assert "no two runs that are over" in (await client.get(f"/drift?schedule={schedule}")).text
    assert drifting.asked == []
    assert (await client.get("/drift/over-time.svg", params={"schedule": schedule})).status_code == 404


async def test_without_a_schedule_the_page_lists_them_or_says_how_to_make_one(client, database):
    assert "beacon schedule add" in (await client.get("/drift")).text
    await scheduled(database, 1, HOSTILE[0])
    page = Elements((await client.get("/drift")).text)
    page.assert_inert()
    assert "s1" in page.text
    assert (await client.get("/drift?schedule=none")).status_code == 404


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_others_wrote_is_text(client, database, drifting, text):
    schedule, _ = await scheduled(database, 2)
    said = finding("difference", text, sentence=text, region=text)
    drifting.document = drifted(said, said | {"call": text}, differences=(text,))
    Elements((await client.get(f"/drift?schedule={schedule}")).text).assert_inert()
