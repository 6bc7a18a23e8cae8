"""`beacon resume`: ends a pause."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.errors import ExitCode
from beacon.store import pauses


def resume(
    name: Annotated[str, Parameter(help="The provider or region that was paused.")],
    /,
    *,
    database: DatabaseOption = None,
) -> int:
    """Resume a provider or a region that was paused.

    Example: `beacon resume eu`
    """
    with_database(database, lambda opened: opened.write(pauses.resume, name, SystemClock().wall()))
    say(f"{name} takes new work again")
    return ExitCode.DONE
