"""What the store holds of a job, as the analysis sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beacon.analysis.agreement import reliabilities
from beacon.analysis.answer_card import measured_errors
from beacon.analysis.observation import Observation
from beacon.analysis.settings import LabelQuality
from beacon.store import executions
from beacon.store.database import Database
from beacon.store.labelling import MACHINE


async def observations_of(database: Database, job_id: str) -> list[Observation]:
    """Every execution of the job as the analysis sees it, in order."""
    found: list[Observation] = []
    cold = await database.read(executions.cold_starts, job_id)
    after = -1
    while rows := await database.read(executions.page, job_id, after=after):
        found += [observation(row, cold.get(row["id"], 0.0)) for row in rows]
        after = rows[-1]["ordinal"]
    return found


def observation(row: dict[str, Any], cold_start_s: float = 0.0) -> Observation:
    """One row of `executions.page` as an observation, with the seconds that it waited for a cold start."""
    flags = row["flags"] or ""
    return Observation(
        execution_id=row["id"],
        question_id=row["question_id"],
        model=row["model"],
        region=row["region"],
        persona=row["persona"],
        language=row["language"],
        repeat=row["repeat"],
        status=row["status"],
        kind=row["kind"],
        label=row["label"],
        label_source=row["source"],
        label_version=row["version"],
        disputed=bool(row["disputed"]),
        score=row["score"],
        flags=frozenset(flag for flag in flags.split(",") if flag),
        answer=row["answer"],
        finish_reason=row["finish_reason"],
        provider=row["provider"],
        upstream=row["upstream"],
        model_echoed=row["model_echoed"],
        region_evidence=row["region_evidence"] or "unknown",
        started_at=row["served_at"] if row["replayed"] else row["started_at"],
        duration_ms=row["duration_ms"],
        simulated=bool(row["simulated"]),
        replayed=bool(row["replayed"]),
        cold_start_s=cold_start_s,
    )


def label_quality(observations: Sequence[Observation], given: Iterable[Mapping[str, str]] = ()) -> LabelQuality | None:
    """Who gave the labels, with the classifier's measured errors where any label is its own, and how far those agree
    who labelled the same answers (`given`: each answer's labels by source)."""
    sources = Counter(o.label_source for o in observations if o.label_source is not None)
    if not sources:
        return None
    languages = {o.language.split("-")[0] for o in observations} if MACHINE in sources else set()
    errors = {name: known for name in sorted(languages) if (known := measured_errors(name)) is not None}
    named = [source if len(sources) == 1 else f"{source} ({count:,})" for source, count in sorted(sources.items())]
    return LabelQuality(", ".join(named), errors, reliabilities(given))
