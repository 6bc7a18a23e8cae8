"""Labels that come from elsewhere, matched to the answers of a job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from beacon.analysis.answer import LABELS
from beacon.domain.names import suggest
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.store import executions, labelling
from beacon.store.database import Database
from beacon.store.labelling import Label

COORDINATES = ("question_id", "model", "region", "language", "persona", "repeat")
NEEDED = ("question_id", "model", "region")
"""Without the others a row stands for the one answer that fits, or is refused."""
MOST_REASON = 2_000
MOST_NAME = 100


def source_of(kind: str, given: str, where: str) -> str:
    """`person:ann`: the source of labels that somebody gives. Raises InputError for what is no name."""
    name = " ".join(given.split())
    if not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise InputError(f"{given!r} is no name", where=where, todo=f"use 1 to {MOST_NAME} visible characters")
    return f"{kind}:{name}"


@dataclass(frozen=True, slots=True)
class Imported:
    """`without_answer` counts rows for executions that have no answer to label."""

    source: str
    labelled: int
    without_answer: int


async def import_labels(
    database: Database, job_id: str, rows: Iterable[tuple[str, Any]], source: str, now: float
) -> Imported:
    """Stores the label of each row, given as (place, row), under `source`: all of them, or none.

    A row names its answer by `execution_id`, or by question, model, region and what else tells it from others. If it
    holds an `answer` too, that must be the stored one. Raises InputError with the place of the row.
    """
    stored = await _executions(database, job_id)
    given: dict[str, Label] = {}
    without_answer = 0
    for where, row in rows:
        found = stored.of(row, where)
        label = _label(row, where)
        if found["answer"] is None:
            without_answer += 1
            continue
        _same_answer(found, row, where)
        if found["id"] in given:
            raise InputError("a second label for the same answer", where=where, todo="give each answer one label")
        reason = row.get("reason")
        told = str(reason)[:MOST_REASON] if reason else None
        given[found["id"]] = Label(found["id"], source, label, None, told, "", now)
    await database.write(labelling.write, list(given.values()))
    return Imported(source, len(given), without_answer)


class _Stored:
    """The executions of a job, to be found by id or by what they asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._by_id = {row["id"]: row for row in rows}
        self._by_question: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            self._by_question.setdefault(tuple(row[name] for name in NEEDED), []).append(row)

    def of(self, row: Any, where: str) -> dict[str, Any]:
        if not isinstance(row, Mapping):
            raise InputError("a row of labels has to be a JSON object", where=where)
        if row.get("execution_id"):
            return self._known(str(row["execution_id"]), where)
        missing = [name for name in NEEDED if not row.get(name)]
        if missing:
            what = f"the row has neither execution_id nor {' and '.join(missing)}"
            raise InputError(what, where=where, todo=f"name the answer by execution_id, or by {', '.join(NEEDED)}")
        asked = {name: str(row[name]) for name in COORDINATES if row.get(name) not in {None, ""}}
        asked["region"] = normalise(asked["region"])
        fitting = [
            found
            for found in self._by_question.get(tuple(asked[name] for name in NEEDED), [])
            if all(str(found[name]) == value for name, value in asked.items())
        ]
        if len(fitting) == 1:
            return fitting[0]
        told = ", ".join(f"{name} {value!r}" for name, value in asked.items())
        if not fitting:
            raise InputError(f"the job did not ask {told}", where=where, todo="leave the row out, or name another job")
        more = next(name for name in ("language", "persona", "repeat", "execution_id") if name not in asked)
        raise InputError(f"{len(fitting)} answers fit {told}", where=where, todo=f"say which, by {more} too")

    def _known(self, execution_id: str, where: str) -> dict[str, Any]:
        if execution_id not in self._by_id:
            raise InputError(f"the job has no execution {execution_id!r}", where=where, todo="name another job")
        return self._by_id[execution_id]


async def _executions(database: Database, job_id: str) -> _Stored:
    found: list[dict[str, Any]] = []
    after = -1
    while rows := await database.read(executions.page, job_id, after=after):
        found += rows
        after = rows[-1]["ordinal"]
    return _Stored(found)


def _label(row: Mapping[str, Any], where: str) -> str:
    label = str(row.get("label") or "").strip().lower()
    if label not in LABELS:
        raise InputError(f"{label!r} is no label", where=where, todo=suggest(label, LABELS))
    return label


def _same_answer(found: Mapping[str, Any], row: Mapping[str, Any], where: str) -> None:
    """A label is of a text; of another one, such as an earlier run's, it says nothing."""
    if row.get("answer") is not None and row["answer"] != found["answer"]:
        raise InputError(
            f"the row's answer is not the one that execution {found['id']} has",
            where=where,
            todo="label the answers of this job; `beacon export JOB --format jsonl` writes them",
        )
