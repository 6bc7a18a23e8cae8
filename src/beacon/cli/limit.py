"""`beacon limit`: how many requests a provider or a region may have under way, in every process, until it is lifted."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption
from beacon.cli.terminal import say
from beacon.domain.clock import SystemClock
from beacon.errors import ExitCode, InputError
from beacon.store import limits


def limit(
    name: Annotated[str, Parameter(help="A provider or a region, as the fleet names it.")],
    at_most: Annotated[
        int | None,
        Parameter(validator=validators.Number(gte=1), help="Requests under way at each provider, in each process."),
    ] = None,
    /,
    *,
    lift: Annotated[bool, Parameter(negative="", show_default=False, help="End the limit.")] = False,
    why: Annotated[str, Parameter(help="The reason; it stands in the events of every open job.")] = "no reason given",
    database: DatabaseOption = None,
) -> int:
    """Limit a provider, or each provider of a region, while jobs run: every process follows within a second.

    What is under way beyond the limit finishes. The fleet's `concurrency` holds beside it: a limit cannot raise that.
    Another limit takes the place of the first; `beacon show JOB` tells of it.

    For example:

    ```
    beacon limit eu 4 --why "others need it until noon"
    beacon limit eu --lift
    ```
    """
    if lift == (at_most is not None):
        raise InputError("name either a number or --lift", todo=f"beacon limit {name} 4, or beacon limit {name} --lift")
    now = SystemClock().wall()
    if at_most is None:
        with_database(database, lambda opened: opened.write(limits.lift, name, now))
        say(f"{name} is limited by its fleet alone again")
    else:
        with_database(database, lambda opened: opened.write(limits.put, name, at_most, why, now))
        say(f"{name} has at most {at_most} requests under way in each process; `beacon limit {name} --lift` ends that")
    return ExitCode.DONE
