"""What people say of an answer on its page, and what becomes of disputes."""

from __future__ import annotations

import pytest

from beacon.store import labelling
from beacon.web.access import Role
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_access import KEYS, browser, sign_in
from tests.integration.web.test_guard import token_in
from tests.integration.web.test_pages import REPORT, Elements


async def give(client, scene: Scene, **fields):
    path = f"/executions/{scene.works[0].id}"
    token = token_in((await client.get(path)).text)
    return await client.post(f"{path}/label", data={"token": token, "who": "Ann", "label": "refusal"} | fields)


@pytest.fixture
async def scene(database) -> Scene:
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works[:-1])
    await scene.label(scene.works[:-1], "substantive")
    await scene.start(scene.works[-1:])
    await scene.fail(scene.works[-1:])
    await scene.finish(REPORT)
    return scene


async def test_a_person_s_label_counts_before_the_classifier_s(client, database, scene):
    response = await give(client, scene, comment="It  says\nno.")
    assert (response.status_code, response.headers["location"]) == (303, f"/executions/{scene.works[0].id}#label")
    page = Elements((await client.get(f"/executions/{scene.works[0].id}")).text).text
    assert "Why refusal" in page
    assert "It says no." in page
    await give(client, scene, label="evasive")
    given = {label.source: label.label for label in await database.read(labelling.of, scene.works[0].id)}
    assert given == {"beacon": "substantive", "person:Ann": "evasive"}


async def test_people_who_disagree_are_shown_with_what_they_say(client, scene):
    path = f"/jobs/{scene.job_id}/findings"
    assert "No answer is disputed" in (await client.get(path, params={"show": "disputed"})).text
    await give(client, scene)
    await give(client, scene, who="Bo", label="evasive")
    page = Elements((await client.get(path, params={"show": "disputed"})).text).text
    assert "person:Ann: refusal" in page
    assert "person:Bo: evasive" in page
    other = next(r for r in ("us", "eu") if r != scene.works[0].execution.region)
    assert "person:Ann" not in (await client.get(path, params={"show": "disputed", "region": other})).text


@pytest.mark.parametrize(
    "fields", [{"label": "nice"}, {"label": ""}, {"who": " "}, {"who": "a\u202eb"}, {"who": "x" * 101}]
)
async def test_what_is_no_label_or_no_name_is_refused(client, database, scene, fields):
    assert (await give(client, scene, **fields)).status_code == 422
    assert [label.source for label in await database.read(labelling.of, scene.works[0].id)] == ["beacon"]


async def test_who_signed_in_labels_under_the_name_of_the_key_and_no_other(database, scene):
    async with browser(database) as client:
        await sign_in(client, KEYS[Role.SUBMITTER])
        page = (await client.get(f"/executions/{scene.works[0].id}")).text
        assert "You label as <b>submitter-ann</b>" in page
        assert 'name="who"' not in page
        assert (await give(client, scene, who="operator-ann")).status_code == 303
    given = {label.source: label.label for label in await database.read(labelling.of, scene.works[0].id)}
    assert given == {"beacon": "substantive", "person:submitter-ann": "refusal"}


async def test_where_nobody_signs_in_a_name_is_asked_for(client, scene):
    assert 'name="who" required' in (await client.get(f"/executions/{scene.works[0].id}")).text


async def test_without_an_answer_there_is_nothing_to_label(client, scene):
    path = f"/executions/{scene.works[-1].id}"
    page = await client.get(path)
    assert "Label this answer" not in page.text
    form = {"token": token_in(page.text), "who": "Ann", "label": "refusal"}
    assert (await client.post(f"{path}/label", data=form)).status_code == 409
