"""What a verification found: numbered steps, each with what was altered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from beacon.errors import VerificationError

StepStatus = Literal["passed", "failed", "not_run"]
MAX_NAMED = 100
"""Alterations that one step names; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Alteration:
    """One thing that is not as it was sealed; `execution_id` where it concerns one execution."""

    file: str
    what: str
    execution_id: str | None = None

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.execution_id, self.what) if part)


@dataclass(slots=True)
class Step:
    """One numbered check. `detail` says what was compared, or why nothing was."""

    number: int
    name: str
    status: StepStatus = "not_run"
    detail: str = ""
    alterations: list[Alteration] = field(default_factory=list)
    further: int = 0

    def fail(self, file: str, what: str, execution_id: str | None = None) -> None:
        self.status = "failed"
        if len(self.alterations) < MAX_NAMED:
            self.alterations.append(Alteration(file, what, execution_id))
        else:
            self.further += 1

    def close(self, detail: str) -> None:
        """The check was made to its end: it passed unless it failed before."""
        self.detail = detail
        if self.status == "not_run":
            self.status = "passed"


@dataclass(slots=True)
class VerifyResult:
    """The verdict on a bundle. `notes` are what a reader must know even where every step passed."""

    path: str
    steps: list[Step]
    job_id: str | None = None
    generation: int | None = None
    sealed_at: float | None = None
    key_id: str | None = None
    trusted: bool = False
    log_origin: str | None = None
    counts: dict[str, int] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(step.status == "passed" for step in self.steps)

    @property
    def alterations(self) -> list[Alteration]:
        return [alteration for step in self.steps for alteration in step.alterations]

    def require(self) -> None:
        """Raises VerificationError, with everything that was found, unless every step passed."""
        if self.ok:
            return
        failed = next(step for step in self.steps if step.status != "passed")
        found = "; ".join(map(str, self.alterations)) or failed.detail
        raise VerificationError(f"step {failed.number}, {failed.name}, failed: {found}", where=self.path)

    def to_document(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}
