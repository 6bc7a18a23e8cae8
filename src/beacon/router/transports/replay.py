"""Recorded answers, served from a file in place of a provider.

A recording is a JSONL file (gzipped if its name ends in .gz) with a row an answer: `region`, `model`,
`question_id`, `language`, `answer`, `finish_reason`, `usage`, `upstream`, `answered_at`; further fields are
ignored. The rows of one (region, model, question, language) are its repeats, in the order of the file.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import error as ZlibError

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.router.failures import Where, failure
from beacon.router.transports.base import Call
from beacon.router.transports.text import whole

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Row:
    text: str
    finish_reason: str | None
    input_tokens: int | None
    output_tokens: int | None
    upstream: str | None
    answered_at: float | None


class Recordings:
    """The recordings of a fleet, each file read once however many providers serve from it."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._read: dict[Path, dict[_Key, list[Row]]] = {}

    def rows(self, file: str) -> dict[_Key, list[Row]]:
        """Rows by (region, model, question id, language). Raises InputError that names file and line."""
        path = self._base / file
        if path not in self._read:
            self._read[path] = _index(path)
        return self._read[path]


class ReplayTransport:
    """Serves the rows of its provider's region. Raises InputError if the recording cannot be used."""

    def __init__(self, provider: Provider, recordings: Recordings, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._file = provider.file or ""
        try:
            self._rows = recordings.rows(self._file)
        except InputError as fault:
            where = f"provider {provider.name}, {fault.where}"
            raise InputError(fault.what, where=where, todo=fault.todo) from None

    async def open(self) -> None:
        """The recording is in memory already."""

    async def close(self) -> None:
        """Nothing is held open."""

    async def infer(self, call: Call) -> Outcome:
        inference, provider = call.inference, self._provider
        began, began_wall = self._clock.monotonic(), self._clock.wall()
        recorded_as = provider.models[inference.model]
        rows = self._rows.get((inference.region, recorded_as, inference.question_id, inference.language), [])
        stages = {**call.stages_ms, Stage.INFERENCE.value: 1000 * (self._clock.monotonic() - began)}
        if inference.repeat >= len(rows):
            what = (
                f"has {len(rows)} recorded answers of {recorded_as} to question {inference.question_id} in "
                f"{inference.language} for region {inference.region}; repeat {inference.repeat + 1} was asked"
            )
            where = Where(provider.name, Stage.INFERENCE, stages)
            todo = f"ask for what {self._file} holds, with fewer repeats or the languages of its regions"
            return failure(FailureKind.PROVIDER_ERROR, what, where, todo=todo, retryable=False)
        row = rows[inference.repeat]
        finished = self._clock.monotonic()
        return Answer(
            text=row.text,
            finish_reason=row.finish_reason,
            provider=provider.name,
            model_echoed=recorded_as,
            region_stated=None,
            region_evidence="declared",
            upstream=row.upstream,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            cost_usd=provider.cost.of(row.input_tokens, row.output_tokens),
            simulated=provider.simulated,
            replayed=True,
            started_at=began_wall,
            first_token_at=None,
            finished_at=began_wall + finished - began,
            duration_ms=1000 * (finished - began),
            stages_ms=stages,
            served_at=row.answered_at,
        )


def _index(path: Path) -> dict[_Key, list[Row]]:
    rows: dict[_Key, list[Row]] = {}
    shared: dict[str, str] = {}  # one string object for each upstream and finish reason
    for number, line in _lines(path):
        try:
            key, row = _parse(line, shared)
        except InputError as fault:
            raise InputError(fault.what, where=f"{path}, line {number}", todo=fault.todo) from None
        rows.setdefault(key, []).append(row)
    if not rows:
        raise InputError("the recording has no rows", where=str(path), todo="see the row fields in the documentation")
    return rows


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, counted from 1."""
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.isspace():
                    yield number, line
    except (gzip.BadGzipFile, EOFError, ZlibError):
        where = f"{path}, after line {number}"
        raise InputError("the recording is no whole gzip file", where=where, todo="get it again") from None
    except OSError as error:
        what = f"the recording cannot be read: {error.strerror or type(error).__name__}"
        raise InputError(what, where=str(path), todo="check the path, which is relative to the fleet file") from None


def _parse(line: bytes, shared: dict[str, str]) -> tuple[_Key, Row]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError("not valid JSON", todo="a recording has one JSON object a line") from None
    if not isinstance(fields, dict):
        raise InputError("no JSON object", todo="a recording has one JSON object a line")
    usage = _optional(fields, "usage", dict) or {}
    upstream, finish_reason = _text(fields, "upstream"), _text(fields, "finish_reason")
    region = normalise(_required(fields, "region"))
    key = (
        region,
        _required(fields, "model"),
        _required(fields, "question_id"),
        _required(fields, "language"),
    )
    return key, Row(
        text=_text(fields, "answer") or "",
        finish_reason=finish_reason and shared.setdefault(finish_reason, finish_reason),
        input_tokens=_optional(usage, "prompt_tokens", int),
        output_tokens=_optional(usage, "completion_tokens", int),
        upstream=upstream and shared.setdefault(upstream, upstream),
        answered_at=_moment(fields),
    )


def _required(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} must be a text, found {value!r}", todo=f"give every row its {name}")
    return value


def _text(fields: dict[str, Any], name: str) -> str | None:
    value: str | None = _optional(fields, name, str)
    return value and whole(value)


def _optional(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise InputError(f"{name} must be a {kind.__name__} or null, found {value!r}")


def _moment(fields: dict[str, Any]) -> float | None:
    value = fields.get("answered_at")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"answered_at must be seconds since the epoch or null, found {value!r}")
    return float(value)
