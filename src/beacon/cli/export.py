"""`beacon export`: a job's executions as CSV or JSON lines, one row each, streamed; or its bundle."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from cyclopts import Parameter

from beacon.cli.reading import with_database
from beacon.cli.settings import DatabaseOption, JobArgument
from beacon.cli.sink import sink
from beacon.domain.spreadsheet import defused
from beacon.errors import InputError
from beacon.runner.bundle import write_bundle
from beacon.store import executions, jobs
from beacon.store.database import Database

FIELDS = (
    *("execution_id", "job_id", "question_id", "model", "region", "persona", "language", "repeat", "status"),
    *("answer", "finish_reason", "label", "kind", "stage", "error", "attempts", "provider", "model_echoed"),
    *("region_evidence", "upstream", "simulated", "replayed", "queued_at", "started_at", "first_token_at"),
    *("finished_at", "persisted_at", "duration_ms", "input_tokens", "output_tokens", "cost_usd"),
)


def export(
    job: JobArgument,
    /,
    *,
    to: Annotated[
        Literal["csv", "jsonl", "bundle"], Parameter(name="--format", help="csv, jsonl or bundle.")
    ] = "jsonl",
    output: Annotated[Path | None, Parameter(help="A file, written whole or not at all; default stdout.")] = None,
    database: DatabaseOption = None,
) -> None:
    """Write a job's executions, one row each; or its bundle, the sealed job that `beacon verify` checks offline.

    For example:

    ```
    beacon export k3v9 --format csv --output answers.csv
    beacon export k3v9 --format bundle --output job.zip
    ```
    """
    if to == "bundle":
        _export_bundle(job, output, database)
        return
    with sink(output) as stream:
        with_database(database, lambda opened: _export(opened, job, to, stream))


def _export_bundle(job: str, output: Path | None, database: str | None) -> None:
    if output is None:
        raise InputError("a bundle is written to a file", where="--output", todo="name one: --output job.zip")

    async def write(opened: Database) -> None:
        await write_bundle(opened, await opened.read(jobs.resolve_id, job), output)

    with_database(database, write)


async def _export(database: Database, prefix: str, to: str, stream: TextIO) -> None:
    job_id = await database.read(jobs.resolve_id, prefix)
    write = _csv_writer(stream) if to == "csv" else _jsonl_writer(stream)
    after = -1
    while rows := await database.read(executions.page, job_id, after=after):
        for row in rows:
            write(exported(row))
        after = rows[-1]["ordinal"]


def exported(row: dict[str, Any]) -> dict[str, Any]:
    """The contract's fields of one execution, in their order. Unknown is null, never 0."""
    return {name: row["id"] if name == "execution_id" else row[name] for name in FIELDS}


def _jsonl_writer(stream: TextIO) -> Any:
    return lambda row: stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _csv_writer(stream: TextIO) -> Any:
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\r\n")
    writer.writeheader()
    return lambda row: writer.writerow({name: defused(value) for name, value in row.items()})
