"""Answers side by side, and the heat map as files."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pytest

from beacon.web.pages.differing import MOST_WORDS, marked
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_pages import HOSTILE, REPORT, Elements


def test_only_what_differs_is_marked():
    left, right, compared = marked("The sky is blue today.", "The sky was blue, today.")
    assert left == 'The sky <mark class="here">is</mark> blue today.'
    assert right == 'The sky <mark class="here">was</mark> blue<mark class="here">,</mark> today.'
    assert compared
    assert marked("你好吗", "你很好") == (
        '你好<mark class="here">吗</mark>', '你<mark class="here">很</mark>好', True
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_marked_is_text(text):
    for markup in marked(text, "x " + text[1:])[:2]:
        tags = {tag for tag, _ in Elements(markup).found}
        assert tags <= {"mark", "b"}


def test_very_long_texts_are_not_compared():
    left, _, compared = marked("a " * (MOST_WORDS + 1), "b")
    assert not compared
    assert "mark" not in left


async def test_two_regions_and_two_repeats_stand_side_by_side(client, database):
    scene = await Scene.begin(database, make_spec(questions=1, repeats=2))
    for work in scene.works:
        e = work.execution
        await scene.run([work], f"{e.model} in {e.region}, time {e.repeat}")
    path = f"/jobs/{scene.job_id}/pair"
    page = (await client.get(path, params={"model": "beta"})).text
    assert 'beta in <mark class="here">us</mark>, time 0' in page
    assert 'beta in <mark class="here">eu</mark>, time 0' in page
    page = (await client.get(path, params={"left": "eu", "right": "eu", "right_repeat": 2})).text
    assert 'alpha in eu, time <mark class="here">1</mark>' in page
    assert "There is no such execution" in (await client.get(path, params={"left_repeat": 9})).text
    assert (await client.get(path, params={"model": "gone", "question": "gone"})).status_code == 200


async def test_the_heat_map_is_downloaded_as_it_is_filtered(client, database):
    report = REPORT | {"rates": {"cells": [*REPORT["rates"]["cells"], {
        "question": "q1", "model": "beta", "region": "us", "executions": 5, "answers": 5,
        "withheld_rate": {"in_class": 1},
    }]}}  # fmt: skip
    scene = await Scene.begin(database, make_spec(name="<Borders> & more"))
    await scene.run(scene.works)
    await scene.finish(report)
    path = f"/jobs/{scene.job_id}/findings"
    rows = list(csv.DictReader(io.StringIO((await client.get(f"{path}/heat.csv")).text)))
    assert len(rows) == 8
    told = next(row for row in rows if (row["question"], row["model"], row["region"]) == ("q0", "alpha", "eu"))
    assert (told["share"], told["answers"], told["missing"]) == ("0.7500", "4", "1")
    assert next(row for row in rows if row["answers"] == "0")["share"] == "", "unknown is not zero"
    some = await client.get(f"{path}/heat.csv", params={"model": "beta", "question": "q1"})
    assert len(some.text.splitlines()) == 3
    picture = await client.get(f"{path}/heat.svg", params={"region": "eu"})
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "attachment" in picture.headers["content-disposition"]
    title = ElementTree.fromstring(picture.text).find("{http://www.w3.org/2000/svg}title").text
    assert title == "Share withheld, percent, question by region"
    words = "".join(ElementTree.fromstring(picture.text).itertext())
    assert "SIMULATED" in words
    assert "<Borders> & more" in words
    page = (await client.get(path, params={"model": "beta"})).text
    assert f"{path}/heat.csv?model=beta" in page.replace("&amp;", "&")


async def test_cells_of_a_file_are_no_formulas(client, database):
    questions = [{"id": "q0", "text": "Q?"}]
    scene = await Scene.begin(database, make_spec(questions=questions, models=["alpha"], regions=["us"]))
    await scene.run(scene.works)
    cell = {"question": "q0", "model": "alpha", "region": "us", "executions": 1, "answers": 1, "=1+1": {"in_class": 1}}
    await scene.finish({"measures": {"=1+1": "x"}, "rates": {"cells": [cell]}, "findings": []})
    text = (await client.get(f"/jobs/{scene.job_id}/findings/heat.csv")).text
    assert ",'=1+1," in text
