"""`beacon classify`: labels any JSON lines of answers, row by row."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter

from beacon.analysis.classify import classify_rows, text_of_row
from beacon.cli.sink import sink
from beacon.errors import InputError

STDIN = Path("-")


def classify(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    output: Annotated[Path | None, Parameter(help="A file, written whole or not at all; default stdout.")] = None,
) -> None:
    """Label answers: failure, empty, refusal, evasive or substantive, each with a score and a reason.

    Example: `beacon classify answers.jsonl --output labelled.jsonl`

    Each row is a JSON object with `answer` and, where known, `prompt`, `finish_reason` and `language`. It is
    written with `label`, `score`, `reason`, `label_source`, `truncated`, `retracted` and `untrained_language`;
    a label that it had is kept as `given_label`. A `finish_reason` of null says that the answer never finished.

    A file is checked whole before a row is written. What comes by a pipe is labelled as it comes: where a line cannot
    be used, the rows before it are out, the message counts them, and the exit code is 2.

    Parameters
    ----------
    file
        JSON lines, also compressed (.gz); `-` for stdin.
    """
    name = "stdin" if file == STDIN else str(file)
    if file.is_file():
        with opened(file) as lines:
            _check(lines, name)
    with opened(file) as lines, sink(output) as stream:
        _classify(lines, name, stream, kept=output is None)


def _check(lines: Iterable[bytes], name: str) -> None:
    """Raises InputError for a line that cannot be used, before any row is written."""
    for _ in rows_of(lines, name):
        pass


def _classify(lines: Iterable[bytes], name: str, stream: TextIO, *, kept: bool) -> None:
    """`kept`: what was written before a line at fault stays; its number of rows is then told."""
    written = 0
    try:
        for row in classify_rows(rows_of(lines, name)):
            stream.write(_line(row))
            written += 1
    except InputError as error:
        if not kept or not written:
            raise
        stream.flush()
        before = f"the {written} rows before it were written whole, the rest was not read"
        todo = f"{before}; {error.todo}" if error.todo else f"{before}; correct the line and send it and what follows"
        raise InputError(error.what, where=error.where, todo=todo) from error


@contextmanager
def opened(file: Path) -> Iterator[Iterable[bytes]]:
    """The lines of a file, also compressed, or of stdin. Raises InputError."""
    if file == STDIN:
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            lines = stack.enter_context(file.open("rb"))
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}", where=str(file)) from error
        yield gzip.GzipFile(fileobj=lines) if file.suffix == ".gz" else lines


def rows_of(lines: Iterable[bytes], name: str) -> Iterator[dict[str, Any]]:
    """The rows of JSON lines; blank lines are passed over.

    Raises InputError, which names the file and the line from 1, for one that cannot be used.
    """
    for where, row in objects_of(lines, name):
        text_of_row(row, where)
        yield row


def objects_of(lines: Iterable[bytes], name: str) -> Iterator[tuple[str, Any]]:
    """What stands on each line, with its place as `name:line`. Raises InputError."""
    for number, line in enumerate(_each(lines, name), start=1):
        if line.strip():
            where = f"{name}:{number}"
            yield where, _parsed(line, where)


def _each(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    try:
        yield from lines
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {name} to its end: {error}", where=name) from error


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError("the line is not UTF-8", where=where, todo="write the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"the line is not JSON: {error.msg} at column {error.colno}",
            where=where,
            todo='one JSON object a line, such as {"answer": "…", "language": "en"}',
        ) from error
    except RecursionError as error:
        raise InputError("the line is nested too deeply", where=where) from error


def _line(row: dict[str, Any]) -> str:
    """JSON in one line; as ASCII where the row holds half a character, which no encoding can write."""
    line = json.dumps(row, ensure_ascii=False)
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        line = json.dumps(row)
    return line + "\n"
