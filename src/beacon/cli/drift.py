"""`beacon drift`: what changed from one run to a later one."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from beacon.cli.findings import HEADINGS, calls, print_listed
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.cli.terminal import console, visible
from beacon.runner.analyst import Analyst
from beacon.store import jobs
from beacon.store.database import Database


def drift(
    base: JobArgument,
    other: JobArgument,
    /,
    *later: Annotated[str, Parameter(help="Further runs, each compared with the one before it.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare runs of the same questions over time: which model answers differently in which region.

    Example: `beacon drift k3v9 m2p4`

    The tests are those between regions, with the run in the region's place. What differs in how the runs were done
    (questions, sampling, routes, who labelled) is said first; questions with another wording are left out.
    """
    found = with_database(database, lambda opened: _compare(opened, [base, other, *later]))
    if as_json:
        print(json.dumps(found if later else found[0], ensure_ascii=False))
        return
    for document in found:
        _print(document)


async def _compare(database: Database, named: list[str]) -> list[dict[str, Any]]:
    ids = await asyncio.gather(*(database.read(jobs.resolve_id, name) for name in named))
    async with Analyst() as analyst:
        return [await analyst.ask("drift", database.url, *pair) for pair in pairwise(ids)]


def _print(document: dict[str, Any]) -> None:
    out = console()
    out.print(Text(f"\nFrom {document['base']['run']} to {document['other']['run']}", style="bold"))
    for sentence in document["differences"]:
        out.print(Text(f"Not the same: {visible(sentence)}", style="yellow"))
    report = document["report"]
    for notice in report["notices"]:
        out.print(Text(f"Note: {visible(notice)}", style="yellow"))
    by_call = calls(report)
    print_listed(out, by_call["difference"], "changes")
    for call in ("undecided", "negligible"):
        out.print(f"{len(by_call[call])} {HEADINGS[call]}.")
    if report["not_tested"]:
        out.print(f"{len(report['not_tested'])} comparisons could not be tested.")
