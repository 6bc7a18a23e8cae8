"""`beacon label`: what people say of answers counts before what Beacon's classifier says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.table import Table
from rich.text import Text

from beacon.analysis.agreement import reliabilities
from beacon.cli.classify import objects_of, opened
from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument, JsonOption
from beacon.cli.terminal import UNKNOWN, console, visible
from beacon.domain.clock import SystemClock
from beacon.domain.spec import JobSpec
from beacon.errors import InputError
from beacon.runner.labels import Imported, import_labels, source_of
from beacon.store import jobs, labelling
from beacon.store.database import Database
from beacon.store.labelling import Doubtful, Label

KEYS = {"s": "substantive", "e": "evasive", "r": "refusal", "m": "empty", "f": "failure"}
HELP = "[s]ubstantive  [e]vasive  [r]efusal  e[m]pty  [f]ailure  [n]ext  [q]uit"


def label(
    job: JobArgument,
    /,
    *,
    who: Annotated[str | None, Parameter(name="--as", help="Who gives the labels: a name of your choice.")] = None,
    import_file: Annotated[
        Path | None, Parameter(name="--import", help="JSON lines (also .gz) or CSV of labels, stored all or none.")
    ] = None,
    source: Annotated[str | None, Parameter(help="Where imported labels come from; default the file's name.")] = None,
    list_: Annotated[
        bool, Parameter(name="--list", negative="", help="Who labelled what, and what is disputed.")
    ] = False,
    most: Annotated[int, Parameter(validator=validators.Number(gte=1), help="Answers to go through at most.")] = 100,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go through the answers that Beacon is least sure of, or import labels, or list them.

    Example: `beacon label k3v9 --as ann`

    A person's label counts before an imported one, that before a judge's, and that before the classifier's. Where
    two of the same standing disagree the answer is disputed and counts as missing; nobody votes. The answers are
    shown without model, region or earlier label. A report uses the labels from its next version on:
    `beacon report JOB --again`.

    A row of a file has `label` (substantive, evasive, refusal, empty, failure), optionally `reason`, and names its
    answer by `execution_id`, or by `question_id`, `model`, `region` and where needed `language`, `persona`, `repeat`.
    """
    if list_:
        told = with_database(database, lambda opened: _listed(opened, job))
        print(json.dumps(told, ensure_ascii=False)) if as_json else _print_list(told)
    elif import_file is not None:
        named = source_of("import", source or import_file.name, "--source")
        found = with_database(database, lambda opened: _import(opened, job, import_file, named))
        _print_imported(found, as_json=as_json)
    elif who is None:
        raise InputError("nobody is named", where="--as", todo="say who gives the labels: --as NAME")
    else:
        given = with_database(database, lambda opened: _walk(opened, job, source_of("person", who, "--as"), most))
        if as_json:
            print(json.dumps({"labelled": given}))


async def _import(database: Database, job: str, file: Path, source: str) -> Imported:
    job_id = await database.read(jobs.resolve_id, job)
    with opened(file) as lines:
        rows = _of_csv(b"".join(lines), str(file)) if file.suffix == ".csv" else objects_of(lines, str(file))
        return await import_labels(database, job_id, rows, source, SystemClock().wall())


def _of_csv(content: bytes, name: str) -> Iterator[tuple[str, Any]]:
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        for row in reader:
            yield f"{name}:{reader.line_num}", {key: value for key, value in row.items() if key is not None}
    except UnicodeDecodeError as error:
        raise InputError("the file is not UTF-8", where=name, todo="write it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"the file is not CSV: {error}", where=name) from error


def _print_imported(found: Imported, *, as_json: bool) -> None:
    told = {"source": found.source, "labelled": found.labelled, "without_answer": found.without_answer}
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    out = console()
    out.print(Text(f"{found.labelled:,} answers labelled by {visible(found.source)}."))
    if found.without_answer:
        out.print(f"{found.without_answer:,} rows are of executions without an answer, and were left out.")


async def _walk(database: Database, job: str, source: str, most: int) -> int:
    """Asks for the label of one answer after the other; each is stored at once."""
    job_id = await database.read(jobs.resolve_id, job)
    spec = await database.read(jobs.spec_of, job_id)
    doubtful = await database.read(labelling.doubtful, job_id, source, most)
    given = 0
    for number, answer in enumerate(doubtful, start=1):
        _show(answer, spec, f"{number} of {len(doubtful)}")
        key = _ask()
        if key == "q":
            break
        if key != "n":
            found = Label(answer.execution_id, source, KEYS[key], None, None, "", SystemClock().wall())
            await database.write(labelling.write, [found])
            given += 1
    console(stderr=True).print(
        f"{given} labels stored. They count from the next report on: beacon report {job_id} --again"
        if doubtful
        else "No answer is in doubt that you have not labelled."
    )
    return given


def _show(answer: Doubtful, spec: JobSpec, place: str) -> None:
    out = console(stderr=True)
    why = "disputed" if answer.disputed else "uncertain"
    out.print(Text(f"\n{place} ({why})", style="bold"))
    out.print(Text(f"Question: {visible(spec.question(answer.question_id).texts[answer.language], keep_lines=True)}"))
    out.print(Text(f"Answer: {visible(answer.answer, keep_lines=True)}"))


def _ask() -> str:
    """One of KEYS, n or q; the end of the input is q."""
    err = console(stderr=True)
    while True:
        err.print(Text(HELP, style="dim"), end=" > ")
        try:
            key = input().strip().lower()[:1]
        except EOFError:
            return "q"
        if key in {*KEYS, "n", "q"}:
            return key


async def _listed(database: Database, job: str) -> dict[str, Any]:
    job_id = await database.read(jobs.resolve_id, job)
    given = await database.read(labelling.counts, job_id)
    disputes = await database.read(labelling.disputes, job_id, limit=None)
    several = await database.read(labelling.by_answer, job_id)
    return {
        "job_id": job_id,
        "labels": [{"source": source, "label": label, "count": count} for source, label, count in given],
        "agreement": {name: found.to_document() for name, found in reliabilities(several.values()).items()},
        "disputed": [{"execution_id": found.execution_id, "labels": found.said} for found in disputes],
    }


def _print_list(told: dict[str, Any]) -> None:
    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("source")
    table.add_column("label")
    table.add_column("answers", justify="right")
    for row in told["labels"]:
        table.add_row(Text(visible(row["source"])), row["label"], f"{row['count']:,}")
    out.print(table)
    for name, agreed in told["agreement"].items():
        alpha = UNKNOWN if agreed["alpha"] is None else f"{agreed['alpha']:.3f}"
        out.print(f"Krippendorff's alpha, {name}: {alpha} over {agreed['answers']:,} answers with two labels or more.")
    disputed = told["disputed"]
    out.print(Text(f"\n{len(disputed) or 'No'} disputed answers{':' if disputed else '.'}", style="bold"))
    for row in disputed:
        said = ", ".join(f"{source} {label}" for source, label in row["labels"].items())
        out.print(Text(f"  {row['execution_id']}  {visible(said)}"))
