"""`beacon pause`: nothing new is sent to a provider or a region, by any process, until it is resumed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.errors import ExitCode
from beacon.store import pauses


def pause(
    name: Annotated[str, Parameter(help="A provider or a region, as the fleet names it.")],
    /,
    *,
    why: Annotated[str, Parameter(help="The reason; it stands in the events of every open job.")] = "no reason given",
    database: DatabaseOption = None,
) -> int:
    """Pause a provider or a region: what is under way there finishes, nothing new is sent, in no process.

    Deadlines of executions that were begun run on. `beacon resume NAME` ends it; `beacon show JOB` tells of it.

    Example: `beacon pause eu --why "the provider asked us to"`
    """
    now = SystemClock().wall()
    with_database(database, lambda opened: opened.write(pauses.pause, name, why, now))
    say(f"{name} is paused; `beacon resume {name}` ends that")
    return ExitCode.DONE
