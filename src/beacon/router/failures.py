"""Failures of calls to providers: a sentence that names provider, stage and seconds, and a way on."""

from __future__ import annotations

from dataclasses import dataclass

from beacon.domain.failure import Failure, FailureKind, Stage

_MAX_QUOTED = 300

_TODO = {
    FailureKind.RATE_LIMITED: "wait, or lower its concurrency in the fleet",
    FailureKind.PROVIDER_ERROR: "its own log tells more",
    FailureKind.PROTOCOL_ERROR: "check that its url is that of an OpenAI-compatible API",
    FailureKind.OUTCOME_UNKNOWN: (
        "it may have finished the answer and keeps none; limits.on_unknown says whether to ask again, "
        "and a Beacon agent beside it would keep the answer"
    ),
    FailureKind.REFUSED_CONNECTION: "check that it runs and that its url is right",
    FailureKind.RESULT_LOST: "limits.on_unknown says whether to ask again; its own log tells more",
    FailureKind.CANCELLED: "retry it if it is wanted after all",
    FailureKind.DEADLINE_EXPIRED: "raise limits.execution_deadline, or ask for fewer tokens",
    FailureKind.COLD_START_EXPIRED: "raise its cold_start in the fleet, or keep it warm",
    FailureKind.REGION_MISMATCH: "no answer from another region is used; correct the fleet or the provider",
    FailureKind.MODEL_MISMATCH: (
        "no answer of another model is used; correct the fleet, or list the name under its echoes "
        "if it is the same model"
    ),
}

_NOT_RETRYABLE = frozenset({FailureKind.DEADLINE_EXPIRED, FailureKind.COLD_START_EXPIRED})
MISMATCHES = frozenset({FailureKind.REGION_MISMATCH, FailureKind.MODEL_MISMATCH})


@dataclass(frozen=True, slots=True)
class Where:
    """How far a call had come: the provider's name, the stage it was in, and milliseconds per stage."""

    provider: str
    stage: Stage
    stages_ms: dict[str, float]


def failure(
    kind: FailureKind,
    what: str,
    where: Where,
    *,
    todo: str | None = None,
    retryable: bool | None = None,
    http_status: int | None = None,
    retry_after_s: float | None = None,
    counts: bool = True,
) -> Failure:
    """`what` continues a sentence that begins with the provider's name, such as "answered HTTP 500"."""
    spent = where.stages_ms.get(where.stage.value, 0.0)
    message = f"{where.provider} {what}, {seconds(spent)} into {where.stage.value}: {todo or _TODO[kind]}"
    return Failure(
        kind=kind,
        stage=where.stage,
        message=message,
        retryable=kind not in _NOT_RETRYABLE if retryable is None else retryable,
        http_status=http_status,
        retry_after_s=retry_after_s,
        other_provider_only=kind in MISMATCHES,
        counts=counts,
        stages_ms=where.stages_ms,
    )


def expired(where: Where, hop: str, *, starting: bool, progress: str = "had not answered") -> Failure:
    """The deadline passed at `hop`; `starting` while the provider had not yet answered from a cold start."""
    kind = FailureKind.COLD_START_EXPIRED if starting else FailureKind.DEADLINE_EXPIRED
    spent = ", ".join(f"{stage} {seconds(ms)}" for stage, ms in where.stages_ms.items())
    still = " while it was still starting" if starting else ""
    return failure(kind, f"{progress} when the deadline passed{still} (hop: {hop}; time: {spent})", where)


def closed(where: Where, what: str) -> Failure:
    """Nothing was sent, since the provider asks for more time than anything waits."""
    todo = "`beacon retry JOB --kind rate_limited` asks again, once it may be asked"
    return Failure(FailureKind.RATE_LIMITED, where.stage, f"{where.provider} {what}: {todo}", retryable=False)


def seconds(ms: float) -> str:
    """Milliseconds as a person reads them: `0.004 s`, `1.25 s`, `238.0 s`."""
    value = ms / 1000
    return f"{value:.3f} s" if value < 0.1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def quoted(text: str, secret: str | None = None) -> str:
    """A provider's own words, fit for a sentence: on one line, bounded, without control characters and
    without the key, which some providers repeat in their errors."""
    if secret:
        text = text.replace(secret, "[key]")
    text = text[: 4 * _MAX_QUOTED]
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _MAX_QUOTED else line[: _MAX_QUOTED - 1] + "…"
