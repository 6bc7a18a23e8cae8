"""One recorded execution, as the analysis sees it: the input of everything here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from beacon.errors import InputError

Label = Literal["substantive", "evasive", "refusal", "empty", "failure"]

ANSWER_LABELS: frozenset[str] = frozenset({"substantive", "evasive", "refusal", "empty"})


class Cell(NamedTuple):
    """The unit of comparison (DESIGN section 1), within the run that it belongs to."""

    question: str
    model: str
    region: str
    persona: str
    language: str
    run: str


@dataclass(frozen=True, slots=True)
class Observation:
    """One execution with its outcome and, where it was answered, the label of its answer.

    `status` is an execution status; `kind` the kind of failure, None for a completed execution. `label` is
    None where nobody classified the answer. `score` is the classifier's probability of its label. `answer` is
    None where there is none or the caller keeps texts away (texts are then not compared). `started_at` is in
    seconds since the epoch; None, like every other None here, is unknown. `cold_start_s` is how long it is known to
    have waited for a provider that was starting, 0 where nothing is known of one. `run` names the job where results
    of several are compared. `label_source` is who gave the label; `disputed` says that others of the same standing
    gave another. `label_version` is that of the classifier or rubric, where one is recorded.
    """

    execution_id: str
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int
    status: str
    kind: str | None = None
    label: Label | None = None
    score: float | None = None
    flags: frozenset[str] = frozenset()
    answer: str | None = None
    finish_reason: str | None = None
    provider: str | None = None
    upstream: str | None = None
    model_echoed: str | None = None
    region_evidence: str = "unknown"
    started_at: float | None = None
    duration_ms: float | None = None
    simulated: bool = False
    replayed: bool = False
    cold_start_s: float = 0.0
    run: str = ""
    label_source: str | None = None
    label_version: str | None = None
    disputed: bool = False

    @property
    def cell(self) -> Cell:
        return Cell(self.question_id, self.model, self.region, self.persona, self.language, self.run)

    @property
    def answered(self) -> bool:
        """Whether there is a classified answer. A failed execution, an answer that is a `failure` by its
        label, one without a label and one whose label is disputed are missing."""
        return self.status == "completed" and self.label in ANSWER_LABELS and not self.disputed


def in_order(observations: Iterable[Observation]) -> list[Observation]:
    """The observations in an order of their own, whatever order they came in.

    Raises InputError where an execution stands twice: each has one outcome (invariant one-result).
    """
    ordered = sorted(observations, key=lambda o: (o.cell, o.repeat, o.execution_id))
    seen: set[str] = set()
    for observation in ordered:
        if observation.execution_id in seen:
            raise InputError(
                f"execution {observation.execution_id!r} stands twice among the results",
                todo="give each execution once",
            )
        seen.add(observation.execution_id)
    return ordered
