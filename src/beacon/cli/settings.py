"""What a command works on: the database and the fleet, from flags and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from platformdirs import user_data_path

DATABASE_VARIABLE = "BEACON_DATABASE_URL"
GATEWAY_VARIABLE = "BEACON_GATEWAY_URL"
SPOOL_VARIABLE = "BEACON_SPOOL"
SQLITE = "sqlite:///"

JobArgument = Annotated[str, Parameter(help="The job's id, or as much of its beginning as is unique.")]
DatabaseOption = Annotated[
    str | None,
    Parameter(
        name="--database",
        help="The database, a path or an address; default BEACON_DATABASE_URL, then beacon.db in your data directory.",
    ),
]
FleetOption = Annotated[
    str | None,
    Parameter(
        name="--fleet",
        help="The fleet file, or `lab` for simulated providers; default BEACON_FLEET, then ./fleet.yaml.",
    ),
]
JsonOption = Annotated[
    bool,
    Parameter(name="--json", negative="", show_default=False, help="Print one JSON document instead of text."),
]

PORT = Parameter(validator=validators.Number(gte=0, lte=65_535))


def database_url(option: str | None) -> str:
    """From the flag, then `BEACON_DATABASE_URL`, then `beacon.db` in the user's data directory."""
    chosen = option or os.environ.get(DATABASE_VARIABLE)
    if not chosen:
        return f"{SQLITE}{user_data_path('beacon') / 'beacon.db'}"
    return chosen if "://" in chosen else f"{SQLITE}{Path(chosen).expanduser()}"


def database_file(url: str) -> Path | None:
    """The file of an embedded database; None for any other."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) and url != SQLITE else None


def spool_folder() -> Path:
    """Where outcomes wait while the database is away: `BEACON_SPOOL`, then `spool` in the user's data directory."""
    named = os.environ.get(SPOOL_VARIABLE)
    return Path(named).expanduser() if named else user_data_path("beacon") / "spool"
