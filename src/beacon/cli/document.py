"""The document that `beacon run --json` and `beacon show --json` print (DESIGN, command line)."""

from __future__ import annotations

from typing import Any

from beacon.domain.states import TERMINAL
from beacon.store.jobs import Job


def run_document(job: Job, report: dict[str, Any] | None, wall_s: float) -> dict[str, Any]:
    """`wall_s` are the seconds that the caller waited for the job."""
    return {**_common(job), "wall_s": round(wall_s, 3), "findings": report["findings"] if report else []}


def show_document(job: Job, report: dict[str, Any] | None) -> dict[str, Any]:
    moments = ("created_at", "started_at", "finalizing_at", "completed_at")
    end, begin = job.completed_at, job.created_at
    return {
        **_common(job),
        **{name: getattr(job, name) for name in moments},
        "wall_s": None if end is None else round(end - begin, 3),
        "findings": report["findings"] if report else [],
    }


def _common(job: Job) -> dict[str, Any]:
    counts = {status.value: job.counts[status.value] for status in sorted(TERMINAL)}
    open_counts = {name: job.counts[name] for name in ("pending", "running", "retrying") if job.counts[name]}
    return {
        "job_id": job.id,
        "name": job.name,
        "status": job.status.value,
        "verdict": job.verdict.value if job.verdict else None,
        "error": job.error,
        "generation": job.generation,
        "counts": {"total": job.total, **counts, **open_counts},
        "cost_usd": None if job.cost_unknown else job.cost_usd,
        "barrier_gap_ms": _rounded(job.barrier_gap_ms),
        "finalizing_ms": _rounded(job.finalizing_ms),
        "simulated": job.simulated,
        "replayed": job.replayed,
    }


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
