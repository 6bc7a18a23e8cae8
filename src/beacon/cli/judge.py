"""`beacon judge`: a language model labels answers, and what its labels are worth is measured."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import App, Parameter, validators
from rich.table import Table
from rich.text import Text

from beacon.analysis.agreement import EVERYONE, Agreement, agreement
from beacon.analysis.answer import TEXT_LABELS, AnswerText
from beacon.analysis.classify import text_of_row
from beacon.analysis.rubric import RUBRIC
from beacon.cli.classify import objects_of, opened
from beacon.cli.embedded import Embedded, embedded
from beacon.cli.settings import DatabaseOption, FleetOption, JobArgument, JsonOption
from beacon.cli.terminal import UNKNOWN, console, dollars, visible
from beacon.domain.clock import SystemClock
from beacon.domain.names import suggest
from beacon.errors import ExitCode, InputError
from beacon.runner.judging import UNREADABLE, Judge, Judged, Planned, judge_all, plan_judging
from beacon.store import executions, jobs, labelling
from beacon.store.labelling import Label

T = TypeVar("T")
ModelOption = Annotated[str, Parameter(help="The judge: a model of the fleet.")]
RegionOption = Annotated[str | None, Parameter(help="Where the judge is asked; default the first region that has it.")]
YesOption = Annotated[bool, Parameter(negative="", help="Ask; without it the cost is shown and nothing is sent.")]

judge = App(
    name="judge",
    help=(
        "Let a language model label answers, blind to model and region.\n\n"
        "Example: `beacon judge k3v9 --model mistral-7b --yes`\n\n"
        "Each answer is judged once by a fixed rubric and the verdict kept. What an answer says to the judge is data "
        "to it, and only an output in the asked form counts. Without `--yes` the cost is shown and nothing is sent."
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A labelled answer of a file."""

    text: AnswerText
    label: str


@judge.default
def judge_job(
    job: JobArgument,
    /,
    *,
    model: ModelOption,
    region: RegionOption = None,
    yes: YesOption = False,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Label a job's answers. Its labels count before the classifier's and after people's, from the next report on.

    Example: `beacon judge k3v9 --model mistral-7b --yes`
    """

    async def work(house: Embedded) -> int:
        chosen = _judge(house, model, region)
        job_id = await house.database.read(jobs.resolve_id, job)
        ids, texts = await _answers(house, job_id)
        planned, judged = await _judged(house, chosen, texts, yes=yes)
        if judged is None:
            return _print_plan(planned, chosen, as_json=as_json)
        now = SystemClock().wall()
        given = [
            Label(ids[place], chosen.source, label, None, reason, "", now, RUBRIC)
            for place, (label, reason) in judged.labels.items()
        ]
        await house.database.write(labelling.write, given)
        document = {"job_id": job_id, **_document(chosen, judged)}
        return _print_judged(document, judged, as_json=as_json)

    return _run(database, fleet, work)


@judge.command
def evaluate(
    file: Path,
    /,
    *,
    model: ModelOption,
    region: RegionOption = None,
    most: Annotated[
        int | None, Parameter(validator=validators.Number(gte=1), help="Only as many rows, from the beginning.")
    ] = None,
    yes: YesOption = False,
    fleet: FleetOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> int:
    """Measure a judge against labelled answers: macro-F1, accuracy and Cohen's kappa, over all and by language.

    Example: `beacon judge evaluate labelled.jsonl --model mistral-7b --yes`

    Each row is a JSON object with `prompt`, `answer`, `language` and `label`. Answers that a rule decides, and those
    labelled empty or failure, are left out: no judge is asked about them.
    """

    async def work(house: Embedded) -> int:
        chosen = _judge(house, model, region)
        rows = _labelled(file)[:most]
        planned, judged = await _judged(house, chosen, [row.text for row in rows], yes=yes)
        if judged is None:
            return _print_plan(planned, chosen, as_json=as_json)
        pairs = [(rows[place], label) for place, (label, _) in judged.labels.items()]
        measured = {EVERYONE: agreement((row.label, label) for row, label in pairs)}
        for language in sorted({row.text.language or UNKNOWN for row, _ in pairs}):
            mine = [(row.label, label) for row, label in pairs if (row.text.language or UNKNOWN) == language]
            measured[language] = agreement(mine)
        document = _document(chosen, judged)
        document["agreement"] = {name: found.to_document() for name, found in measured.items()}
        if not as_json and pairs:
            _print_agreement(measured)
            _tell(_worth(measured[EVERYONE]))
        return _print_judged(document, judged, as_json=as_json)

    return _run(database, fleet, work)


def _run(database: str | None, fleet: str | None, work: Callable[[Embedded], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with embedded(database, fleet) as house:
            return await work(house)

    return asyncio.run(inside())


def _judge(house: Embedded, model: str, region: str | None) -> Judge:
    if model not in house.fleet.models:
        raise InputError(f"unknown model {model!r}", where="--model", todo=suggest(model, house.fleet.models))
    regions = [p.region for p in house.fleet.providers if model in p.models]
    if region is not None and region not in regions:
        raise InputError(f"{model!r} is not served in {region!r}", where="--region", todo=suggest(region, regions))
    return Judge(model, region or regions[0])


async def _judged(
    house: Embedded, judge: Judge, texts: Sequence[AnswerText], *, yes: bool
) -> tuple[Planned, Judged | None]:
    planned = await plan_judging(texts, judge, house.router, house.database)
    if planned.todo and not yes:
        return planned, None
    if planned.todo:
        _tell(f"asking {judge.model} in {judge.region} about {len(planned.todo):,} answers, {_at_most(planned)}")
    return planned, await judge_all(planned, judge, house.router, house.database, SystemClock())


async def _answers(house: Embedded, job_id: str) -> tuple[list[str], list[AnswerText]]:
    """Every answer of the job, with the id of its execution."""
    spec = await house.database.read(jobs.spec_of, job_id)
    ids: list[str] = []
    texts: list[AnswerText] = []
    after = -1
    while rows := await house.database.read(executions.page, job_id, after=after):
        for row in rows:
            if row["answer"] is not None:
                prompt = spec.question(row["question_id"]).texts[row["language"]]
                ids.append(row["id"])
                texts.append(AnswerText(prompt, row["answer"], row["finish_reason"], row["language"], row["retracted"]))
        after = rows[-1]["ordinal"]
    return ids, texts


def _labelled(file: Path) -> list[Row]:
    """The rows whose label is of a text."""
    rows: list[Row] = []
    with opened(file) as lines:
        for where, row in objects_of(lines, str(file)):
            text = text_of_row(row, where)
            label = row.get("label")
            if not isinstance(label, str):
                raise InputError("the row has no label", where=where, todo=f"label it: {', '.join(TEXT_LABELS)}")
            if label in TEXT_LABELS:
                rows.append(Row(text, label))
    return rows


def _document(judge: Judge, judged: Judged) -> dict[str, Any]:
    return {
        "judge": judge.model,
        "region": judge.region,
        "rubric": RUBRIC,
        "labelled": len(judged.labels),
        "asked": judged.asked,
        "failures": judged.failures,
        "cost_usd": judged.cost_usd,
    }


def _at_most(planned: Planned) -> str:
    return "at an unknown cost" if planned.cost_usd is None else f"for at most {dollars(planned.cost_usd)}"


def _print_plan(planned: Planned, judge: Judge, *, as_json: bool) -> int:
    if as_json:
        told = {"judge": judge.model, "region": judge.region, "rubric": RUBRIC, "to_ask": len(planned.todo)}
        print(json.dumps({**told, "known": len(planned.known), "cost_usd_at_most": planned.cost_usd}))
    else:
        console().print(
            Text(
                f"{len(planned.todo):,} answers to judge by {visible(judge.model)} in {judge.region}, "
                f"{_at_most(planned)}; {len(planned.known):,} judged before, {planned.ruled:,} decided by rule.\n"
                "Nothing was sent. To ask: --yes"
            )
        )
    return ExitCode.DONE


def _print_judged(document: dict[str, Any], judged: Judged, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(document, ensure_ascii=False))
    else:
        cost = UNKNOWN if judged.cost_usd is None else dollars(judged.cost_usd)
        console().print(Text(f"{len(judged.labels):,} answers labelled, {judged.asked:,} asked now, cost {cost}."))
    for why, count in judged.failures.items():
        _tell(f"{count:,} not labelled: {why}, such as: {judged.told[why]}")
    if set(judged.failures) - {UNREADABLE}:
        _tell("What was not answered can be asked again: run the same command once more.")
    if not judged.asked or sum(judged.failures.values()) < judged.asked:
        return ExitCode.DONE
    if judged.failures.get(UNREADABLE):
        _tell(f"{document['judge']} gave no usable label: it cannot serve as a judge. Choose a more capable model.")
    return ExitCode.JOB_UNSUCCESSFUL


LITTLE, GOOD = 0.4, 0.75
"""Of kappa: below LITTLE poor, above GOOD excellent agreement (Fleiss, Levin and Paik 2003)."""


def _worth(found: Agreement) -> str:
    """In plain words what the agreement with the given labels says of the judge."""
    if found.kappa is None:
        return "Its agreement beyond chance is unknown: all labels are of one class."
    size = f"kappa {found.kappa:.2f}"
    if found.kappa < LITTLE:
        return (
            f"It agrees with the given labels little more than chance would ({size}): findings should not rest on it."
        )
    said = "well" if found.kappa > GOOD else "moderately"
    return f"It agrees {said} with the given labels beyond chance ({size})."


def _tell(sentence: str) -> None:
    print(visible(sentence), file=sys.stderr)


def _print_agreement(measured: dict[str, Agreement]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("language", "answers", "macro-F1", "accuracy", "kappa", *TEXT_LABELS):
        table.add_column(name, justify="left" if name == "language" else "right")
    for name, found in measured.items():
        figures = (found.macro_f1, found.accuracy, found.kappa, *(found.f1.get(label) for label in TEXT_LABELS))
        shown = (UNKNOWN if figure is None else f"{figure:.3f}" for figure in figures)
        table.add_row(Text(visible(name)), f"{found.answers:,}", *shown)
    console().print(table)
