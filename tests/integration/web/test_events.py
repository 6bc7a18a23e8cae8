"""Live events: complete, in order, resumable, and one poller for all who watch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from beacon.store import events
from beacon.web import charts
from beacon.web.board import CODES
from beacon.web.charts import MOST_MARKS
from beacon.web.pages.live import MOST_MADE
from tests.integration.web.scene import Scene, make_spec

PATIENCE_S = 60


async def read_stream(client: httpx.AsyncClient, path: str, **headers: str) -> AsyncIterator[tuple[str, dict]]:
    """(id, data) of each message."""
    async with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            else:
                if "data" in fields:
                    yield fields["id"], json.loads(fields["data"])
                fields = {}


@pytest.fixture
async def http(address) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
        yield client


async def test_events_come_in_order_without_gaps_and_end_with_the_job(http, database, spec):
    scene = await Scene.begin(database, spec)
    watching = asyncio.create_task(collect(http, f"/api/v1/jobs/{scene.job_id}/events"))
    for start in range(0, 16, 4):
        await scene.run(scene.works[start : start + 4])
    await scene.finish()
    seen = await watching
    stored = await database.read(events.after, scene.job_id, 0)
    assert [(number, data["seq"]) for number, data in seen] == [(str(event.seq), event.seq) for event in stored]
    assert seen[-1][1]["status"] == "completed"
    assert all(
        {name: data[name] for name in event.data} == event.data for (_, data), event in zip(seen, stored, strict=True)
    )


async def collect(http: httpx.AsyncClient, path: str, **headers: str) -> list[tuple[str, dict]]:
    return [message async for message in read_stream(http, path, **headers)]


async def test_a_stream_resumes_after_the_last_event_seen(http, database, spec):
    scene = await Scene.begin(database, spec)
    path = f"/api/v1/jobs/{scene.job_id}/events"
    await scene.run(scene.works[:8])
    async for number, _data in read_stream(http, path):
        if number == "4":
            break
    await scene.run(scene.works[8:])
    await scene.finish()
    rest = await collect(http, path, **{"Last-Event-ID": "4"})
    last = (await database.read(events.after, scene.job_id, 0))[-1].seq
    assert [int(number) for number, _ in rest] == list(range(5, last + 1))


async def test_a_finished_job_is_told_and_the_stream_ends_at_once(http, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await scene.finish()
    seen = await collect(http, f"/api/v1/jobs/{scene.job_id}/events")
    assert seen[-1][1]["status"] == "completed"
    assert await collect(http, f"/api/v1/jobs/{scene.job_id}/events?after={seen[-1][0]}") == []


async def test_an_id_that_is_none_is_refused(http, database, spec):
    scene = await Scene.begin(database, spec)
    response = await http.get(f"/api/v1/jobs/{scene.job_id}/events", headers={"Last-Event-ID": "abc"})
    assert response.status_code == 422
    assert response.json()["faults"][0]["path"] == "Last-Event-ID"


async def test_all_viewers_of_a_job_share_one_poller_and_it_ends_with_the_last(app, http, database, spec):
    scene = await Scene.begin(database, spec)
    watches = app.state.portal.watches
    path = f"/api/v1/jobs/{scene.job_id}/events"
    viewers = [asyncio.create_task(collect(http, path)) for _ in range(5)]
    viewers += [asyncio.create_task(collect(http, f"/jobs/{scene.job_id}/live?after=0")) for _ in range(5)]
    await scene.run(scene.works[:8])
    await until(lambda: watches.watched == 1)
    await scene.run(scene.works[8:])
    await scene.finish()
    seen = await asyncio.gather(*viewers)
    assert len({json.dumps(messages) for messages in seen[:5]}) == 1
    await until(lambda: watches.watched == 0)


async def until(true) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.01)


async def test_an_update_of_the_page_holds_what_changed_and_only_that(http, database):
    spec = make_spec(questions=6, repeats=2)
    scene = await Scene.begin(database, spec)
    page = await http.get(f"/jobs/{scene.job_id}")
    cells = page.text.count('id="c-')
    assert cells == 24
    seq = (await http.get(f"/api/v1/jobs/{scene.job_id}")).json()["seq"]
    stream = read_stream(http, f"/jobs/{scene.job_id}/live?after={seq}")
    first = (await anext(stream))[1]
    assert first["marks"] == {}
    await scene.run(scene.works[:1], "Hello.")
    second = (await anext(stream))[1]
    while second["seq"] < seq + 2:
        second = (await anext(stream))[1]
    [digits] = second["marks"].values()
    assert sorted(CODES[int(digit)] for digit in digits) == ["completed", "pending"]
    assert "1 of 48 executions recorded" in second["html"]["p-total"]
    await stream.aclose()


def drawn(marks: dict[str, str]) -> dict[str, str]:
    """Cells as the server draws them, by their id: the page's own script does so in the browser."""
    return {f"c-{number}": str(charts.cell(bytes(map(int, digits)))) for number, digits in marks.items()}


async def test_many_executions_of_a_cell_come_as_one_bar(http, database):
    scene = await Scene.begin(database, make_spec(questions=1, repeats=MOST_MARKS + 1))
    stream = read_stream(http, f"/jobs/{scene.job_id}/live?after=0")
    await scene.run(scene.works)
    update = (await anext(stream))[1]
    assert update["marks"] == {}
    assert "c-0" in update["html"]
    await stream.aclose()


async def test_what_a_page_shows_is_the_database_at_the_seq_it_names(http, database):
    """Updates applied one after the other give the page that a reload gives."""
    spec = make_spec(questions=3, repeats=3)
    scene = await Scene.begin(database, spec)
    page = (await http.get(f"/jobs/{scene.job_id}")).text
    shown: dict[str, str] = {}
    update = {"seq": -1}
    stream = read_stream(http, f"/jobs/{scene.job_id}/live?after=0")
    for work in range(0, 36, 6):
        await scene.start(scene.works[work : work + 6])
        await scene.answer(scene.works[work : work + 4])
        await scene.fail(scene.works[work + 4 : work + 5])
        await scene.owe(scene.works[work + 5 : work + 6])
        update = (await anext(stream))[1]
        shown |= update["html"] | drawn(update["marks"])
    last = (await http.get(f"/api/v1/jobs/{scene.job_id}")).json()
    while update["seq"] < last["seq"]:
        update = (await anext(stream))[1]
        shown |= update["html"] | drawn(update["marks"])
    await stream.aclose()
    page = (await http.get(f"/jobs/{scene.job_id}")).text
    stable = [name for name in shown if name not in {"p-seq", "p-stages", "p-facts"}]
    assert len(stable) > 20
    assert [name for name in stable if shown[name] not in page] == []
    assert f"{last['counts']['completed']} completed, {last['counts']['failed']} failed" in shown["p-total"]


async def test_whoever_names_many_points_of_a_job_that_is_over_does_not_fill_the_memory(app, client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works)
    await scene.finish()
    for point in range(MOST_MADE + 10):
        assert (await client.get(f"/jobs/{scene.job_id}/live?after={point}")).status_code == 200
    page = app.state.portal.live_pages.of(scene.job_id)
    assert page.kept <= MOST_MADE
