"""Every chart of the findings as SVG, PNG and CSV, and the map on the page."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pytest

from beacon.web.assets import Assets
from beacon.web.figures import world
from beacon.web.figures.world import World
from tests.integration.web.scene import Scene, make_spec
from tests.integration.web.test_pages import HOSTILE, REPORT, Elements

NAMES = ("differences", "others", "heat", "rates", "map")
SVG = "{http://www.w3.org/2000/svg}"
ATLAS = b"""{"width": 100, "height": 50, "step": 6,
    "dots": {"Chile": [[1, 2]], "India": [[3, 4]], "France": [[5, 6], [5, 200]]}}"""


async def reported(database, report: dict, **fields) -> str:
    scene = await Scene.begin(database, make_spec(**fields))
    await scene.run(scene.works)
    await scene.finish(report)
    return f"/jobs/{scene.job_id}/findings"


@pytest.mark.parametrize("name", NAMES)
async def test_each_chart_is_a_picture_that_stands_alone_and_a_table(client, database, name):
    path = await reported(database, REPORT)
    picture = await client.get(f"{path}/{name}.svg")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.headers["content-disposition"].endswith('.svg"')
    root = ElementTree.fromstring(picture.text)
    assert "SIMULATED" in "".join(root.itertext())
    assert {element.tag.removeprefix(SVG) for element in root.iter()}.isdisjoint({"script", "image", "style", "a"})
    table = await client.get(f"{path}/{name}.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.DictReader(io.StringIO(table.text)))
    assert f"{path}/{name}.png" in (await client.get(path)).text


async def test_a_chart_is_a_png_drawn_outside_of_the_server(client, database):
    path = await reported(database, REPORT)
    picture = await client.get(f"{path}/rates.png")
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_others_wrote_is_text_in_a_picture_and_no_formula_in_a_table(client, database, text):
    finding = REPORT["findings"][0] | {"groups": [text, text], "model": text, "sentence": text, "measure": text}
    path = await reported(database, REPORT | {"findings": [finding]})
    for name in NAMES:
        root = ElementTree.fromstring((await client.get(f"{path}/{name}.svg")).text)
        assert all(not key.lower().startswith("on") for element in root.iter() for key in element.attrib)
        for row in csv.reader(io.StringIO((await client.get(f"{path}/{name}.csv")).text)):
            assert not any(value.startswith(("=", "@")) for value in row)


async def test_the_map_follows_the_filters_and_unknown_is_not_zero(client, database):
    path = await reported(database, REPORT)
    rows = list(csv.DictReader(io.StringIO((await client.get(f"{path}/map.csv")).text)))
    told = {(row["model"], row["region"]): (row["share"], row["low"], row["answers"]) for row in rows}
    assert told["alpha", "eu"] == ("0.75", "0.3", "4")
    assert told["alpha", "us"] == ("", "", "0"), "unknown is not zero"
    some = (await client.get(f"{path}/map.csv", params={"model": "beta", "region": "us"})).text
    assert len(some.splitlines()) == 2
    page = Elements((await client.get(path)).text).text
    map_text = page[page.index("Share withheld, by region") :]
    assert "75%" in map_text
    assert "no data" in map_text
    assert "not where people asked" in map_text


async def test_a_map_of_regions_that_were_asked_in_other_languages_says_so(client, database):
    question = {"id": "q0", "texts": {"en": "Why?", "zh": "为什么?"}}
    path = await reported(database, REPORT, questions=[question], languages={"us": "en", "eu": "zh"})
    assert "us in en, eu in zh" in (await client.get(path)).text
    assert "us in en, eu in zh" in (await client.get(f"{path}/map.svg")).text


def test_a_region_is_drawn_as_its_countries_and_what_is_nowhere_is_not_drawn():
    drawn = World.read(ATLAS)
    assert drawn.regions == {"us": "", "eu": "M5 6h0", "apac": "M3 4h0"}
    assert drawn.land == "M1 2h0M5 200h0", "what is of France and far from Europe is no site of a European region"
    assert [region for region, _ in world.stands_for(["us", "moon", "eu"])] == ["us", "eu"]


def test_without_the_build_there_is_no_map():
    assert world.of(Assets({"portal.css": b""})) is None


def test_every_country_of_a_region_is_in_the_maps_data():
    built = Assets.load().content(world.FILE)
    if built is None:
        pytest.skip("the map was not built: `make setup` builds it")
    drawn = World.read(built)
    assert all(drawn.regions[region] for region in world.COUNTRIES)
