"""The list of jobs says who waits for what."""

from __future__ import annotations

from beacon.store import pauses, workers
from tests.integration.web.scene import CLOCK, Scene, make_spec
from tests.integration.web.test_pages import Elements


async def listed(client) -> str:
    return Elements((await client.get("/jobs")).text).text


async def test_retries_say_why_where_and_how_many(client, database):
    scene = await Scene.begin(database, make_spec())
    await scene.start(scene.works[:6])
    await scene.owe(scene.works[:1])
    page = await listed(client)
    assert f"1 retry because of rate limited at {scene.works[0].execution.region}-a" in page
    assert "5 under way; 10 wait for a place" in page


async def test_a_pause_of_a_provider_or_a_region_is_told_with_its_reason(client, database):
    await Scene.begin(database, make_spec())
    for name, why in (("us-a", "its key expires"), ("eu", "a maintenance"), ("apac-a", "not of this job")):
        await database.write(pauses.pause, name, why, CLOCK.wall())
    page = await listed(client)
    assert "us-a is paused" in page
    assert "its key expires" in page
    assert "eu is paused" in page
    assert "not of this job" not in page


async def test_a_region_that_no_worker_serves_is_named(client, database):
    scene = await Scene.begin(database, make_spec())
    now = CLOCK.wall()
    await database.write(workers.announce, "h|1|2|3", ["us"], 1, now, now + 600)
    await release(database, scene.job_id, "eu")
    assert "no worker serves eu: 8 executions wait" in await listed(client)


async def test_a_job_that_nobody_drives_says_so(client, database):
    scene = await Scene.begin(database, make_spec())
    for region in ("us", "eu"):
        await release(database, scene.job_id, region)
    assert "no process drives it" in await listed(client)


async def test_a_job_that_is_over_waits_for_nothing(client, database):
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works)
    await scene.finish()
    await database.write(pauses.pause, "us-a", "its key expires", CLOCK.wall())
    page = await listed(client)
    assert "wait" not in page.split("Recorded", 1)[1].replace("waits for", "")


async def release(database, job_id: str, region: str) -> None:
    """As when the lease of whoever drove the region has run out."""

    def write(connection) -> None:
        connection.exec_driver_sql(
            f"UPDATE shards SET lease_until = 0 WHERE job_id = '{job_id}' AND region = '{region}'"
        )

    await database.write(write)
