"""Change between two jobs: what was asked alike is compared, what was not is said first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from beacon.analysis.change import changes
from beacon.analysis.observation import Observation
from beacon.analysis.settings import settings_of
from beacon.analysis.words import listed
from beacon.domain.spec import JobSpec
from beacon.errors import ConflictError, InputError
from beacon.runner.observations import label_quality, observations_of
from beacon.store import jobs
from beacon.store.database import Database
from beacon.store.jobs import Job
from beacon.store.labelling import MACHINE

AXES = ("question_id", "model", "region", "persona", "language")
MOST_NAMED = 6


async def drift_between(database: Database, base_id: str, other_id: str) -> dict[str, Any]:
    """The findings of the factor `run` between two jobs that are over, after what differs in how they were done.

    Raises ConflictError, InputError.
    """
    if base_id == other_id:
        raise InputError(f"both are job {base_id}", todo="name two jobs")
    base, other = [await _over(database, job_id) for job_id in (base_id, other_id)]
    base_spec, other_spec = [await database.read(jobs.spec_of, job.id) for job in (base, other)]
    before, after = [await observations_of(database, job.id) for job in (base, other)]
    names = run_name(base), run_name(other)
    reworded = _reworded(base_spec, other_spec)
    first, second = [[o for o in rows if (o.question_id, o.language) not in reworded] for rows in (before, after)]
    settings = settings_of(other_spec, label_quality([*before, *after]))
    report = changes(first, second, settings, names=names).to_document()
    return {
        "base": {"job_id": base.id, "run": names[0], "created_at": base.created_at},
        "other": {"job_id": other.id, "run": names[1], "created_at": other.created_at},
        "differences": [
            *_labelled(before, after),
            *_asked(base_spec, other_spec, reworded),
            *_kind(base, other),
            *_routes(before, after),
        ],
        "changed": any(finding["call"] == "difference" for finding in report["findings"]),
        "report": report,
    }


def run_name(job: Job) -> str:
    """By which a run is named in sentences: when it was submitted, and its id."""
    return f"{datetime.fromtimestamp(job.created_at, UTC):%Y-%m-%d %H:%M} ({job.id})"


async def _over(database: Database, job_id: str) -> Job:
    job = await database.read(jobs.get, job_id)
    if not job.over:
        what = f"job {job_id} is {job.status.value}: only jobs that are over are compared"
        raise ConflictError(what, todo=f"wait for it with `beacon watch {job_id}`")
    return job


def _reworded(base: JobSpec, other: JobSpec) -> set[tuple[str, str]]:
    """(question, language) under one id with two texts: answers to them are not answers to the same."""
    before = {q.id: q.texts for q in base.questions}
    return {
        (q.id, language)
        for q in other.questions
        for language, text in q.texts.items()
        if before.get(q.id, {}).get(language, text) != text
    }


def _asked(base: JobSpec, other: JobSpec, reworded: set[tuple[str, str]]) -> list[str]:
    told = []
    if reworded:
        named = sorted({question for question, _ in reworded})
        told.append(f"Questions with another wording, left out of the comparison: {_some(named)}.")
    axes = {
        "Questions": ([q.id for q in base.questions], [q.id for q in other.questions]),
        "Models": (base.models, other.models),
        "Regions": (base.regions, other.regions),
        "Personas": (base.personas, other.personas),
    }
    for noun, (before, after) in axes.items():
        told += _only(noun, before, after)
    if base.sampling != other.sampling:
        told.append(f"Sampling: {_fields(base.sampling)} in the first run, {_fields(other.sampling)} in the second.")
    if base.persona_prompts != other.persona_prompts:
        told.append("The system prompts of personas are not the same.")
    return told


def _only(noun: str, before: Iterable[str], after: Iterable[str]) -> list[str]:
    first, second = set(before), set(after)
    told = []
    if first - second:
        told.append(f"{noun} in the first run only: {_some(sorted(first - second))}.")
    if second - first:
        told.append(f"{noun} in the second run only: {_some(sorted(second - first))}.")
    return told


def _kind(base: Job, other: Job) -> list[str]:
    told = []
    for name in ("simulated", "replayed"):
        if getattr(base, name) != getattr(other, name):
            which = "first" if getattr(base, name) else "second"
            told.append(f"Only the {which} run has {name} answers.")
    return told


def _labelled(before: Sequence[Observation], after: Sequence[Observation]) -> list[str]:
    """Said first: another labeller, or another version of one, can make a change of its own."""
    first, second = ({_labeller(o) for o in rows if o.label_source} for rows in (before, after))
    if first == second:
        return []
    return [
        f"Labels by {_some(sorted(first))} in the first run, by {_some(sorted(second))} in the second: "
        "a change may be one of the labels and not of the answers."
    ]


def _labeller(observation: Observation) -> str:
    """The source of the label, and of a machine's its version: `beacon (beacon.answers/2 0123456789ab)`."""
    source = observation.label_source or ""
    if observation.label_version is not None:
        return f"{source} ({observation.label_version})"
    return f"{source} (version unknown)" if source == MACHINE else source


def _routes(before: Sequence[Observation], after: Sequence[Observation]) -> list[str]:
    """Where providers, hosts or stated models are not the same in both runs, by model and region."""
    told = []
    cells = sorted({(o.model, o.region) for o in before} & {(o.model, o.region) for o in after})
    for noun, attribute in (("provider", "provider"), ("upstream host", "upstream"), ("stated model", "model_echoed")):
        for cell in cells:
            first, second = (_served(rows, cell, attribute) for rows in (before, after))
            if set(first) != set(second):
                told.append(
                    f"{cell[0]} in {cell[1]}: {noun} {_mix(first)} in the first run, {_mix(second)} in the second."
                )
    return told


def _served(rows: Sequence[Observation], cell: tuple[str, str], attribute: str) -> Counter[str]:
    return Counter(
        getattr(o, attribute) or "unknown" for o in rows if (o.model, o.region) == cell and o.status == "completed"
    )


def _mix(counts: Counter[str]) -> str:
    return listed([f"{name} ({count:,})" for name, count in counts.most_common()], most=3) if counts else "none"


def _some(names: Sequence[str]) -> str:
    return listed(names, most=MOST_NAMED) if names else "nobody"


def _fields(sampling: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in sampling.model_dump(exclude_none=True).items())
