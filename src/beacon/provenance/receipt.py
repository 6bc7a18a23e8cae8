"""What makes one execution checkable offline: its receipt, and the answer that the receipt speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from beacon.domain.answer import RegionEvidence
from beacon.domain.plan import PlannedExecution, execution_id
from beacon.domain.prompt import messages
from beacon.domain.spec import JobSpec
from beacon.errors import InputError, VerificationError
from beacon.provenance.canonical import digest, row_bytes, sha256_hex

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of one receipt and of one answer as lines of a bundle."""
_CELLS_KEPT = 65_536

Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
_Moment = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_ATTEMPT_NUMBER = re.compile(r"[1-9][0-9]{0,8}\Z")
_ORDINAL = re.compile(r"[0-9]{6,9}\Z")
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One execution as it ended. What is None is unknown or does not apply.

    Moments are seconds since the epoch. `attempt_key` is the attempt that gave the outcome, None where none was
    sent; `attempts` counts all. `request_sha256` is the digest of what was asked (`request_digest`), None where
    nothing was sent; `answer_sha256` that of the answer's line (`Result.digest`), set exactly for `completed`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: str
    spec_sha256: Sha256Hex
    execution_id: str
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: _Count
    status: Literal["completed", "failed", "timed_out", "cancelled"]
    attempts: _Count
    queued_at: _Moment
    schema: Literal["beacon.receipt/v1"] = "beacon.receipt/v1"
    failure_kind: str | None = None
    failure_stage: str | None = None
    attempt_key: str | None = None
    request_sha256: Sha256Hex | None = None
    answer_sha256: Sha256Hex | None = None
    provider: str | None = None
    upstream: str | None = None
    model_echoed: str | None = None
    region_stated: str | None = None
    region_evidence: RegionEvidence = "unknown"
    started_at: _Moment | None = None
    first_token_at: _Moment | None = None
    finished_at: _Moment | None = None
    persisted_at: _Moment | None = None
    duration_ms: _Moment | None = None
    simulated: bool = False
    replayed: bool = False
    label: str | None = None

    def to_bytes(self) -> bytes:
        """Canonical JSON: the leaf of the job's tree. Raises InputError."""
        return _line(self, self.execution_id)

    def contradictions(self) -> Iterator[str]:
        """What in this receipt cannot be true together."""
        completed = self.status == "completed"
        if completed and not (self.answer_sha256 and self.attempt_key and self.request_sha256 and self.provider):
            yield "it is completed, but names no answer, attempt, request or provider"
        if not completed and self.answer_sha256:
            yield f"it is {self.status}, but has an answer"
        if completed and self.failure_kind:
            yield f"it is completed, but failed as {self.failure_kind}"
        if self.attempt_key is not None and not self._owns(self.attempt_key):
            yield f"its attempt {self.attempt_key!r} is none of its {self.attempts}"

    def _owns(self, attempt_key: str) -> bool:
        prefix, _, number = attempt_key.rpartition(".")
        well_formed = _ATTEMPT_NUMBER.match(number) is not None
        return prefix == self.execution_id and well_formed and int(number) <= self.attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An answer as it stands in a bundle."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    execution_id: str
    answer: str
    finish_reason: str | None
    retracted: bool

    def to_bytes(self) -> bytes:
        """Canonical JSON. Raises InputError."""
        return _line(self, self.execution_id)

    def digest(self) -> str:
        return sha256_hex(self.to_bytes())


_NAMES: dict[type, tuple[str, ...]] = {row: tuple(field.name for field in fields(row)) for row in (Receipt, Result)}


def _line(row: Receipt | Result, execution_id: str) -> bytes:
    # asdict would copy every value.
    line = row_bytes({name: getattr(row, name) for name in _NAMES[type(row)]})
    if len(line) > MAX_LINE_BYTES:
        what = f"{len(line):,} bytes, at most {MAX_LINE_BYTES:,} can be sealed"
        raise InputError(what, where=execution_id, todo="limit the length of answers")
    return line


_Row = TypeVar("_Row", Receipt, Result)
_RECEIPT: TypeAdapter[Receipt] = TypeAdapter(Receipt)
_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def parse_receipt(line: bytes, source: str) -> Receipt:
    """Raises VerificationError that names `source`."""
    return _parse(_RECEIPT, line, source)


def parse_result(line: bytes, source: str) -> Result:
    """Raises VerificationError that names `source`."""
    return _parse(_RESULT, line, source)


def _parse(adapter: TypeAdapter[_Row], line: bytes, source: str) -> _Row:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        what = f"{field}: {first['msg']}" if field else first["msg"]
        raise VerificationError(what, where=source) from None


def ordinal_of(own_id: str, job_id: str) -> int | None:
    """The ordinal in an execution's id, None where it is no id of this job."""
    number = own_id.removeprefix(f"{job_id}-")
    if not _ORDINAL.match(number) or execution_id(job_id, int(number)) != own_id:
        return None
    return int(number)


class Requests:
    """What each execution of a job asks, as a digest that anyone can recompute from the spec."""

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._cached = lru_cache(maxsize=_CELLS_KEPT)(self._digest)

    def digest(self, planned: PlannedExecution) -> str:
        """SHA-256 of the canonical JSON of messages, model, region and sampling; equal for all repeats of a cell.

        Raises VerificationError where the spec has no text for this execution.
        """
        # The cache's key is only what the request depends on.
        try:
            return self._cached(replace(planned, ordinal=0, shard=0, repeat=0))
        except KeyError as missing:
            raise VerificationError(f"the spec has no text for {missing}", where=planned.question_id) from None

    def _digest(self, planned: PlannedExecution) -> str:
        sampling = self._spec.sampling
        said = messages(self._spec, planned)
        request = {
            "model": planned.model,
            "region": planned.region,
            "messages": [{"role": message.role, "content": message.content} for message in said],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        return digest(request)
