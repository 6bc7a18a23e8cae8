"""The world map: the land as dots, and those of a region in the shade of what was measured there.

A region is where providers run, so it is drawn as the countries in which hosting sites stand whose names
`beacon.domain.regions` reads as that region; nothing is said of whom they serve. Dots draw no borders. A region whose
place nobody stated is not on the map: it is in the table beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from beacon.web.assets import Assets
from beacon.web.figures.figure import FAINT, INK, PAPER, Figure, text
from beacon.web.pages.regional import Regional, RegionShare

MEANS = (
    "A region is where providers run, not where people asked. It is drawn as the countries in which hosting companies "
    "have sites of that name; the rest of the land was not measured."
)
FILE = "world.json"
COLUMNS = ("model", "region", "measure", "share", "low", "high", "answers", "missing", "on_map")
COUNTRIES: dict[str, tuple[str, ...]] = {
    "us": ("United States of America",),
    "eu": (
        *("Belgium", "Finland", "France", "Germany", "Ireland", "Italy", "Netherlands", "Norway", "Poland", "Spain"),
        *("Sweden", "Switzerland", "United Kingdom"),
    ),
    "apac": ("Australia", "India", "Indonesia", "Japan", "South Korea", "Taiwan"),
}
"""By region, under the names that the map's data have."""
TOO_SMALL = {"apac": ("Hong Kong", "Singapore")}
"""Further places with such sites, for which the map has no shape."""
NORTH_OF = {"eu": 120.0}
"""In the map's units: French Guiana is of France, and no site of a European region."""
LABELS = {"us": (104.0, 96.0, "middle"), "eu": (330.0, 66.0, "end"), "apac": (514.0, 214.0, "middle")}
"""Where a region's share is written, in the map's units, and on which side of that."""
SHADES = (PAPER, "#f3d3a3", "#efbf80", "#e8a75d", "#dc8d3e", "#bd6a24", "#7d3a0c")
"""Of shares, from none to all; dots are small, so that these are stronger than those of cells."""
_LAND = "#e0ddd5"
_DOT = 4.6
_HATCH = (
    f'<pattern id="no-data" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    f'<rect width="6" height="6" fill="{_LAND}"/><rect width="2.5" height="6" fill="{INK}"/></pattern>'
)


@dataclass(frozen=True, slots=True)
class World:
    """Paths of dots: `land` is what belongs to no region."""

    width: float
    height: float
    land: str
    regions: dict[str, str]

    @classmethod
    @lru_cache(maxsize=2)
    def read(cls, document: bytes) -> World:
        """What the build made of the map's data (hatch_build.py)."""
        read = json.loads(document)
        dots: dict[str, list[tuple[float, float]]] = read["dots"]
        regions = {
            region: [
                dot for name in names for dot in dots.get(name, []) if dot[1] < NORTH_OF.get(region, read["height"])
            ]
            for region, names in COUNTRIES.items()
        }
        coloured = {tuple(dot) for some in regions.values() for dot in some}
        land = [dot for some in dots.values() for dot in some if tuple(dot) not in coloured]
        return cls(read["width"], read["height"], _path(land), {name: _path(some) for name, some in regions.items()})


def of(assets: Assets) -> World | None:
    """None where the build has not been run."""
    document = assets.content(FILE)
    return None if document is None else World.read(document)


def _path(dots: Sequence[tuple[float, float]]) -> str:
    """A line of no length for each; round caps make them dots."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in sorted(dots, key=lambda dot: (dot[1], dot[0])))


def stands_for(regions: Sequence[str]) -> list[tuple[str, str]]:
    """(region, the places that are shaded for it), of those that are on the map."""
    told = []
    for region in regions:
        if region in COUNTRIES:
            named = ", ".join(COUNTRIES[region])
            small = TOO_SMALL.get(region)
            told.append((region, named + (f"; too small to be drawn: {', '.join(small)}" if small else "")))
    return told


def label(share: RegionShare) -> str:
    return f"{share.region}: no data" if share.percent is None else f"{share.region} {share.percent}%"


def spoken(title: str, shares: Sequence[RegionShare]) -> str:
    """The map in words, for those who do not see it."""
    return f"{title}: " + ", ".join(label(share) for share in shares)


def world_map(
    name: str, title: str, notes: Sequence[str], measure: str, world: World | None, maps: Sequence[Regional]
) -> Figure:
    """A map for each model, one under the other; without the build's map the rows alone."""
    rows = [_values(share, measure) for one in maps for share in one.shares]
    if world is None:
        parts = [text(0, 16, "The map's data were not built.", fill=FAINT)]
        return Figure(name, title, tuple(notes), COLUMNS, rows, 720, 24, parts)
    head = 26
    each = round(world.height) + head
    paths = {"land": world.land} | world.regions
    defined = "".join(f'<path id="w-{name}" d="{path}"/>' for name, path in paths.items())
    parts = [f"<defs>{_HATCH}{defined}</defs>"]
    for number, one in enumerate(maps):
        y = each * number
        parts.append(text(0, y + 16, one.model, size=13, weight="bold"))
        parts.append(f'<g transform="translate(0 {y + head})" fill="none" stroke-linecap="round">')
        parts += [*_drawn(world, one.shares), "</g>"]
    legend = each * len(maps) + 8
    parts += _legend(legend)
    return Figure(name, title, tuple(notes), COLUMNS, rows, round(world.width), legend + 24, parts)


def _values(share: RegionShare, measure: str) -> tuple[object, ...]:
    low, high = share.interval or (None, None)
    on_map = share.region in COUNTRIES
    return (share.model, share.region, measure, share.share, low, high, share.answers, share.missing, on_map)


def _drawn(world: World, shares: Sequence[RegionShare]) -> list[str]:
    parts = [_dots("land", _LAND)]
    given = {share.region: share for share in shares}
    for region in world.regions:
        share = given.get(region)
        if share is None:
            parts.append(_dots(region, _LAND))
        elif share.share is None:
            parts.append(_dots(region, "url(#no-data)"))
        elif share.step == 0:
            parts += [_dots(region, FAINT), _dots(region, PAPER, _DOT - 1.6)]
        else:
            parts.append(_dots(region, SHADES[share.step]))
    for region, (x, y, anchor) in LABELS.items():
        if region in given:
            words = text(x, y, label(given[region]), anchor=anchor, size=18, weight="bold")
            parts.append(words.replace("<text ", f'<text stroke="{PAPER}" stroke-width="4" paint-order="stroke" ', 1))
    return parts


def _dots(name: str, colour: str, width: float = _DOT) -> str:
    return f'<use href="#w-{name}" stroke="{colour}" stroke-width="{width:g}"/>'


def _legend(y: int) -> list[str]:
    told = ("0", "1–9", "10–24", "25–39", "40–59", "60–84", "85–100 percent")
    parts, x = [], 0
    for shade, words in zip(SHADES, told, strict=True):
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="{shade}" stroke="{FAINT}"/>')
        parts.append(text(x + 19, y + 12, words, size=11))
        x += 70
    x += 40
    parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="url(#no-data)" stroke="{FAINT}"/>')
    parts.append(text(x + 19, y + 12, "no data", size=11))
    return parts
