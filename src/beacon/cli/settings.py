"""What a command works on: the database and the fleet, from flags and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from platformdirs import user_data_path

DATABASE_VARIABLE = "BEACON_DATABASE_URL"

DatabaseOption = Annotated[
    str | None, Parameter(name="--database", help="Database address; default BEACON_DATABASE_URL, then beacon.db.")
]
FleetOption = Annotated[
    str | None, Parameter(name="--fleet", help="Fleet file, or `lab` for simulated providers; default BEACON_FLEET.")
]
JsonOption = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document on stdout.")]


def database_url(option: str | None) -> str:
    """From the flag, then `BEACON_DATABASE_URL`, then `beacon.db` in the user's data directory."""
    chosen = option or os.environ.get(DATABASE_VARIABLE)
    if not chosen:
        return f"sqlite:///{user_data_path('beacon') / 'beacon.db'}"
    return chosen if "://" in chosen else f"sqlite:///{Path(chosen).expanduser()}"
