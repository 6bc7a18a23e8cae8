"""Later jobs against a baseline, as the page says it."""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest

from beacon.domain.spec import JobSpec
from beacon.errors import InputError
from beacon.runner.drifting import drift_between
from beacon.web import comparisons
from beacon.web.app import create_app
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_pages import HOSTILE, Elements

BEFORE, AFTER = "the first run", "the second run"


def finding(call: str, model: str, **fields) -> dict:
    given = {
        "id": f"f-{model}", "factor": "run", "model": model, "region": "eu", "question": None, "call": call,
        "measure": "refusal_rate", "groups": [BEFORE, AFTER], "effect": 0.25, "interval": [0.11, 0.4],
        "p": 0.0004, "q": 0.006, "n": [40, 40], "sentence": f"{model} changed in eu.",
    }  # fmt: skip
    return given | fields


def drifted(*findings: dict, differences: tuple[str, ...] = ()) -> dict:
    return {"differences": list(differences), "report": {"settings": {"alpha": 0.05}, "findings": list(findings)}}


class Drifting:
    """Answers with one document, and keeps what it was asked."""

    def __init__(self) -> None:
        self.document: dict = drifted()
        self.asked: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def __call__(self, base: str, other: str) -> dict:
        self.asked.append((base, other))
        if self.gate is not None:
            await self.gate.wait()
        if other in self.refused:
            raise InputError("nothing was asked alike")
        return self.document


@pytest.fixture
def drifting() -> Drifting:
    return Drifting()


@pytest.fixture
def app(database, drifting):
    return create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, drift=drifting)


async def over(database, name: str = "A job") -> str:
    scene = await Scene.begin(database, make_spec(name=name))
    await scene.run(scene.works)
    await scene.finish()
    return scene.job_id


async def test_what_was_done_otherwise_stands_before_what_changed(client, database, drifting):
    base, other = await over(database), await over(database)
    told = "alpha in eu: provider eu-a (40) in the first run, eu-b (40) in the second."
    same = finding("negligible", "beta", effect=0.0, interval=[-0.03, 0.03], p=1.0, q=1.0)
    drifting.document = drifted(same, finding("difference", "alpha"), differences=(told,))
    page = Elements((await client.get("/compare", params={"jobs": f"{base},{other}"})).text).text
    assert drifting.asked == [(base, other)]
    places = [page.index(word) for word in (told, "alpha changed in eu.", "beta in eu")]
    assert places == sorted(places)
    for number in ("+25", "+11 to +40", "<0.001", "0.006", "80", "−3 to +3"):
        assert number in page


async def test_each_later_job_is_compared_with_the_baseline(client, database, drifting):
    base, *later = [await over(database, f"Run {n}") for n in range(3)]
    page = await client.get("/compare", params={"jobs": [base, *later]})
    assert drifting.asked == [(base, job) for job in later]
    assert "No change was shown" in page.text
    assert page.text.count("asked the same") == 2


async def test_jobs_that_cannot_be_compared_are_not_and_it_is_said_why(client, database, drifting):
    base = await over(database)
    running = await Scene.begin(database, make_spec(name="Still going"))
    assert "only jobs that are over" in (await client.get(f"/compare?jobs={base},{running.job_id}")).text
    for few in ("/compare", f"/compare?jobs={base}", f"/compare?jobs={base},{base}"):
        assert "Choose the baseline" in (await client.get(few)).text
    assert (await client.get(f"/compare?jobs={base},none")).status_code == 404
    many = await client.get("/compare", params={"jobs": ",".join("abcdefg")})
    assert (many.status_code, "too many" in many.text) == (422, True)
    assert drifting.asked == []


@pytest.mark.parametrize("document", [{}, {"report": 3, "differences": 4}, {"report": {"findings": [1, {}]}}])
async def test_a_document_of_another_shape_breaks_nothing(client, database, drifting, document):
    base, other = await over(database), await over(database)
    drifting.document = document
    assert (await client.get(f"/compare?jobs={base},{other}")).status_code == 200


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_others_wrote_is_text(client, database, drifting, text):
    base, other = await over(database), await over(database)
    said = finding("difference", text, sentence=text, caveats=[text], region=text, question=text)
    drifting.document = drifted(said, said | {"call": text}, differences=(text,))
    Elements((await client.get(f"/compare?jobs={base},{other}")).text).assert_inert()


async def test_a_comparison_is_worked_out_once_until_a_label_changes(client, database, drifting):
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works)
    await scene.finish()
    base = await over(database)
    path = f"/compare?jobs={base},{scene.job_id}"
    for _ in range(2):
        await client.get(path)
    assert len(drifting.asked) == 1
    await client.get(path + "&model=alpha")
    assert len(drifting.asked) == 1, "filters narrow what is known"
    await scene.label(scene.works[:1], "refusal")
    await client.get(path)
    assert len(drifting.asked) == 2


async def test_those_who_ask_at_the_same_time_share_the_work(client, database, drifting):
    base, other = await over(database), await over(database)
    await asyncio.gather(*(client.get(f"/compare?jobs={base},{other}") for _ in range(3)))
    assert len(drifting.asked) == 1


async def test_what_takes_long_is_worked_out_on_and_said(client, database, drifting, monkeypatch):
    monkeypatch.setattr(comparisons, "PATIENCE_S", 0.0)
    gate = asyncio.Event()
    drifting.gate = gate
    base, other = await over(database), await over(database)
    assert "still being worked out" in (await client.get(f"/compare?jobs={base},{other}")).text
    gate.set()
    while "still being worked out" in (page := (await client.get(f"/compare?jobs={base},{other}")).text):
        await asyncio.sleep(0)
    assert "asked the same" in page
    assert len(drifting.asked) == 1


async def test_what_cannot_be_compared_says_why_beside_what_can(client, database, drifting):
    base, good, bad = [await over(database, name) for name in ("Base", "Good", "Bad")]
    drifting.refused = {bad}
    page = Elements((await client.get(f"/compare?jobs={base},{good},{bad}")).text).text
    assert "Nothing was asked alike" in page
    assert "asked the same" in page


async def test_changes_are_narrowed_by_the_address_and_downloaded_so(client, database, drifting):
    base, other = await over(database), await over(database)
    drifting.document = drifted(finding("difference", "alpha"), finding("difference", "beta"))
    path = f"/compare?jobs={base},{other}&model=beta"
    page = (await client.get(path)).text
    assert "beta changed in eu." in page
    assert "alpha changed in eu." not in page
    assert f"/compare/changes.csv?model=beta&amp;jobs={base}%2C{other}" in page
    files = {"jobs": f"{base},{other}", "model": "beta"}
    text = (await client.get("/compare/changes.csv", params=files)).text
    assert [line.split(",")[3] for line in text.splitlines()] == ["model", "beta"]
    assert (await client.get("/compare/changes.svg", params={"jobs": base})).status_code == 422


async def test_a_server_without_an_analyst_says_so(database):
    app = create_app(database, actions=StoreActions(database), fleet=lambda: FLEET)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        assert "compares no jobs" in (await client.get("/compare")).text


async def test_the_analysis_itself_is_read(database):
    def run(label: str) -> JobSpec:
        return make_spec(questions=8, repeats=3, models=["alpha"], name=label)

    ids = []
    for eu in ("substantive", "refusal"):
        scene = await Scene.begin(database, run(eu))
        await scene.run(scene.works)
        for region, label in (("us", "substantive"), ("eu", eu)):
            await scene.label([work for work in scene.works if work.execution.region == region], label)
        await scene.finish()
        ids.append(scene.job_id)
    app = create_app(
        database, actions=StoreActions(database), fleet=lambda: FLEET, drift=partial(drift_between, database)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        page = Elements((await client.get(f"/compare?jobs={','.join(ids)}")).text).text
    changed, unchanged = page.split("What did not change")
    assert "alpha in eu" in changed
    assert "+100" in changed
    assert "alpha in us" in unchanged
