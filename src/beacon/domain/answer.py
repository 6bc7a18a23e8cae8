"""What is asked of a provider, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from beacon.domain.failure import Failure
from beacon.domain.value import value

RegionEvidence = Literal["unknown", "declared", "stated", "attested"]


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user"]
    content: str


@value(frozen=True, slots=True)
class Inference:
    """One request for one answer. `key` is the attempt's id: the answer can be fetched under it.

    `question_id`, `language` and `repeat` identify the cell for transports that look answers up (replay).
    """

    key: str
    attempt: int
    model: str
    region: str
    messages: tuple[Message, ...]
    temperature: float
    max_tokens: int
    top_p: float | None
    question_id: str
    language: str
    repeat: int


@value(frozen=True, slots=True)
class Answer:
    """A provider's finished answer, as it was served.

    Times are seconds since the epoch, built from one wall-clock reading and monotonic differences; token
    counts, echo, upstream and finish reason are None where the provider did not state them.
    """

    text: str
    finish_reason: str | None
    provider: str
    model_echoed: str | None
    region_stated: str | None
    region_evidence: RegionEvidence
    upstream: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    simulated: bool
    replayed: bool
    started_at: float
    first_token_at: float | None
    finished_at: float
    duration_ms: float
    stages_ms: dict[str, float] = field(default_factory=dict)
    retracted: bool = False
    raw_sha256: str | None = None
    served_at: float | None = None


Outcome = Answer | Failure
