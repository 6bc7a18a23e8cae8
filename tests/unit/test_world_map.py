"""The map that the build draws from a TopoJSON document."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hook() -> Any:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def square(west: int, south: int, size: int) -> list[list[int]]:
    """A closed arc, as steps from one point to the next."""
    return [[west, south], [size, 0], [0, size], [-size, 0], [0, -size]]


def atlas(**arcs: list[list[int]]) -> bytes:
    names = list(arcs)
    geometries = [
        {"type": "Polygon", "arcs": [[number]], "properties": {"name": name}} for number, name in enumerate(names)
    ]
    document = {
        "transform": {"scale": [1, 1], "translate": [0, 0]},
        "arcs": list(arcs.values()),
        "objects": {"countries": {"geometries": geometries}},
    }
    return json.dumps(document).encode()


def dots(hook: Any, **arcs: list[list[int]]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = json.loads(hook.draw_world(atlas(**arcs)))["dots"]
    return found


def test_dots_tell_areas_and_not_degrees(hook):
    found = dots(hook, Equator=square(0, 0, 20), North=square(0, 55, 20))
    assert len(found["Equator"]) / len(found["North"]) == pytest.approx(2.4, abs=0.5)


def test_a_country_too_small_for_the_grid_has_one_dot_where_it_is(hook):
    found = dots(hook, Tiny=[[100, 10], [1, 0], [0, 1], [-1, -1]])
    ((x, y),) = found["Tiny"]
    longitude, latitude = hook._place((x, y))
    assert (longitude, latitude) == (pytest.approx(100, abs=3), pytest.approx(10, abs=3))


def test_a_country_on_both_sides_of_the_dateline_is_no_line_across_the_map(hook):
    ring = [[175, 0], [4, 0], [-358, 0], [4, 0], [0, 10], [-4, 0], [358, 0], [-4, 0], [0, -10]]
    places = [hook._place(tuple(dot))[0] for dot in dots(hook, Wide=ring)["Wide"]]
    assert places
    assert all(abs(longitude) > 170 for longitude in places)
