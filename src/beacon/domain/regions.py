"""Regions: canonical names, and the one table that resolves aliases at the edge.

Inwards of the edge only canonical names exist. `us`, `eu` and `apac` are built in; a fleet may serve
further regions under any name that has the form of one. An unknown name is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from beacon.domain.names import suggest
from beacon.errors import InputError

BUILT_IN: dict[str, str] = {
    "us": "United States",
    "eu": "Europe",
    "apac": "Asia-Pacific",
}

ALIASES: dict[str, str] = {
    "us": "us",
    "usa": "us",
    "united-states": "us",
    "us-east": "us",
    "us-east-1": "us",
    "us-east-2": "us",
    "us-west": "us",
    "us-west-1": "us",
    "us-west-2": "us",
    "us-central": "us",
    "us-central1": "us",
    "north-america": "us",
    "eu": "eu",
    "europe": "eu",
    "eu-west": "eu",
    "eu-west-1": "eu",
    "eu-west-2": "eu",
    "eu-west-3": "eu",
    "eu-central": "eu",
    "eu-central-1": "eu",
    "eu-north": "eu",
    "eu-north-1": "eu",
    "eu-south": "eu",
    "europe-west": "eu",
    "europe-west1": "eu",
    "europe-west4": "eu",
    "apac": "apac",
    "asia": "apac",
    "asia-pacific": "apac",
    "ap": "apac",
    "ap-southeast": "apac",
    "ap-southeast-1": "apac",
    "ap-southeast-2": "apac",
    "ap-northeast": "apac",
    "ap-northeast-1": "apac",
    "ap-south": "apac",
    "ap-south-1": "apac",
    "asia-southeast": "apac",
    "asia-southeast1": "apac",
    "asia-northeast": "apac",
    "asia-northeast1": "apac",
}

_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


def normalise(name: str) -> str:
    """The alias table's answer, or the name itself in canonical spelling if it is no alias.

    Raises InputError for a name that does not have the form of a region.
    """
    spelled = name.strip().lower().replace("_", "-").replace(" ", "-")
    if not _FORM.match(spelled) or len(spelled) > 40:
        raise InputError(
            f"{name!r} cannot be a region name",
            todo="use lower-case letters, digits and hyphens, for example us, eu or apac",
        )
    return ALIASES.get(spelled, spelled)


def resolve(name: str, known: Collection[str]) -> str:
    """The canonical region that `name` means among the `known` ones.

    Raises InputError that names the nearest known region; a region is never substituted by another.
    """
    from_table = normalise(name)
    if from_table in known:
        return from_table
    raise InputError(f"unknown region {name!r}", todo=suggest(from_table, known))
