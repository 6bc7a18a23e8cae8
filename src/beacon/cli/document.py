"""The JSON documents of the command line (DESIGN, command line)."""

from __future__ import annotations

from typing import Any

from beacon.domain.states import TERMINAL, JobStatus, Verdict
from beacon.errors import ExitCode
from beacon.store.jobs import Job

_MOMENTS = ("created_at", "started_at", "finalizing_at", "completed_at")


def job_document(job: Job) -> dict[str, Any]:
    """A job without its findings; moments in seconds since the epoch."""
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
        **{name: getattr(job, name) for name in _MOMENTS},
    }


def run_document(job: Job, report: dict[str, Any] | None, wall_s: float | None) -> dict[str, Any]:
    """What `run --json` and `show --json` print. `wall_s` are the seconds that the job was waited for, or took."""
    wall = None if wall_s is None else round(wall_s, 3)
    return {**job_document(job), "wall_s": wall, "findings": report["findings"] if report else []}


def exit_code_of(job: Job) -> ExitCode:
    """0 exactly for a completed job that met its criteria."""
    succeeded = job.status is JobStatus.COMPLETED and job.verdict is Verdict.MET
    return ExitCode.DONE if succeeded else ExitCode.JOB_UNSUCCESSFUL


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)
