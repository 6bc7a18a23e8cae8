"""`beacon embed`: answers as vectors of an embedding model, for a report that compares them by these too."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import Parameter

from beacon.cli.embedded import opened_own_fleet
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, FleetOption, JobArgument, JsonOption
from beacon.cli.terminal import console, dollars, visible
from beacon.domain.fleet import Fleet, Provider
from beacon.domain.names import suggest
from beacon.errors import InputError
from beacon.runner.embedding import Wanted, embed_all, plan_embedding
from beacon.runner.observations import observations_of
from beacon.store import jobs
from beacon.store.database import Database


def embed(
    job: JobArgument,
    /,
    *,
    model: Annotated[str, Parameter(help="An embedding model of the fleet.")],
    region: Annotated[str | None, Parameter(help="Where it is asked; default the first region that has it.")] = None,
    yes: Annotated[bool, Parameter(negative="", help="Ask; without it the cost is shown and nothing is sent.")] = False,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fetch embeddings of a job's answers from `/v1/embeddings` of a provider, each text once.

    Example: `beacon embed k3v9 --model all-minilm --yes`

    A further report compares the answers by them, within a language, beside their wording:
    `beacon report k3v9 --again --embeddings all-minilm`. The provider is one of the fleet, with transport `openai`.
    """

    async def work(opened: Database) -> dict[str, Any]:
        job_id = await opened.read(jobs.resolve_id, job)
        async with opened_own_fleet(fleet) as file:
            provider = _provider(file.fleet, model, region)
            texts = [o.answer for o in await observations_of(opened, job_id) if o.answer]
            wanted = await plan_embedding(opened, texts, model, provider)
            if yes:
                await embed_all(opened, wanted, model, provider, file.base, _tell_of(wanted))
        return {
            "job_id": job_id,
            "model": model,
            "provider": provider.name,
            "to_embed": 0 if yes else len(wanted.texts),
            "embedded": len(wanted.texts) if yes else 0,
            "known": wanted.known,
            "cost_usd": wanted.cost_usd,
        }

    said = with_database(database, work)
    if as_json:
        print(json.dumps(said))
        return
    cost = "an unknown cost" if said["cost_usd"] is None else f"about {dollars(said['cost_usd'])}"
    if said["embedded"] or not said["to_embed"]:
        console().print(
            f"{said['embedded']:,} texts embedded now, {said['known']:,} before. To compare them: "
            f"beacon report {said['job_id']} --again --embeddings {visible(model)}"
        )
    else:
        console().print(
            f"{said['to_embed']:,} texts to embed by {visible(model)} at {cost}; {said['known']:,} are there.\n"
            "Nothing was sent. To ask: --yes"
        )


def _provider(fleet: Fleet, model: str, region: str | None) -> Provider:
    """The first of the fleet that has the model, speaks the OpenAI API and lies in the region. Raises InputError."""
    if model not in fleet.models:
        raise InputError(f"unknown model {model!r}", where="--model", todo=suggest(model, fleet.models))
    able = [p for p in fleet.providers if model in p.models and p.transport == "openai"]
    chosen = [p for p in able if region in {None, p.region}]
    if not chosen:
        what = f"no provider with transport openai has {model!r}" + (f" in {region!r}" if able else "")
        regions = ", ".join(sorted({p.region for p in able}))
        raise InputError(what, where="--region" if able else "--model", todo=f"it is in {regions}" if able else None)
    return chosen[0]


def _tell_of(wanted: Wanted) -> Callable[[int], None]:
    def tell(done: int) -> None:
        print(f"{done:,} of {len(wanted.texts):,} texts embedded", file=sys.stderr)

    return tell
