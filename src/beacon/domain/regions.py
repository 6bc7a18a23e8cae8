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

_SPELLINGS: dict[str, str] = {
    "us": """
        us usa united-states united-states-of-america north-america
        us-east us-west us-central us-north us-south
        us-east-1 us-east-2 us-west-1 us-west-2
        us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4
        eastus eastus2 centralus northcentralus southcentralus westcentralus westus westus2 westus3
        iad ord lax sjc dfw ewr
    """,
    "eu": """
        eu europe european-union
        eu-east eu-west eu-central eu-north eu-south
        eu-west-1 eu-west-2 eu-west-3 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2
        europe-west europe-north europe-central europe-southwest
        europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west2 europe-west3
        europe-west4 europe-west6 europe-west8 europe-west9 europe-west10 europe-west12
        northeurope westeurope francecentral germanywestcentral italynorth norwayeast polandcentral
        spaincentral swedencentral switzerlandnorth uksouth ukwest
        ams arn cdg fra lhr
    """,
    "apac": """
        apac asia asia-pacific ap
        ap-east ap-north ap-northeast ap-south ap-southeast
        ap-east-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2
        ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4
        asia-east asia-northeast asia-south asia-southeast australia-southeast
        asia-east1 asia-east2 asia-northeast1 asia-northeast2 asia-northeast3 asia-south1 asia-south2
        asia-southeast1 asia-southeast2 australia-southeast1 australia-southeast2
        eastasia southeastasia japaneast japanwest koreacentral centralindia southindia australiaeast
        nrt sin syd
    """,
}

ALIASES: dict[str, str] = {
    spelling: region for region, spellings in _SPELLINGS.items() for spelling in spellings.split()
}
"""Every spelling that is read as a built-in region: everyday words, and names that hosts give their sites."""

# `any` stands for every region in a persona book.
RESERVED = frozenset({"any"})

_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


def normalise(name: str) -> str:
    """The alias table's answer, or the name itself in canonical spelling if it is no alias.

    Raises InputError for a name that does not have the form of a region.
    """
    spelled = name.strip().lower().replace("_", "-").replace(" ", "-")
    if not _FORM.match(spelled) or len(spelled) > 40 or spelled in RESERVED:
        shown = repr(name) if len(name) <= 60 else f"{name[:60]!r}..."
        raise InputError(
            f"{shown} cannot be a region name",
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
