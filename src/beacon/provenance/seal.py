"""The seal of a job: one signed statement over its receipts, its spec and its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from beacon.domain.plan import execution_id
from beacon.domain.spec import MAX_EXECUTIONS, JobSpec
from beacon.errors import VerificationError
from beacon.provenance.canonical import canonical_bytes, decode_base64, digest, encode_base64, parse_canonical
from beacon.provenance.envelope import Envelope, parse_envelope, sign_envelope
from beacon.provenance.keys import PublicKey, SigningKey
from beacon.provenance.merkle import Frontier, leaf_hash
from beacon.provenance.receipt import Receipt, Sha256Hex

SEAL_TYPE = "application/vnd.beacon.seal+json"
_RAW_KEY_BYTES = 32

_Count = Annotated[int, Field(ge=0, le=MAX_EXECUTIONS)]
_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Executions by how they ended, and how many of them have a simulated or replayed answer."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    total: _Count
    completed: _Count = 0
    failed: _Count = 0
    timed_out: _Count = 0
    cancelled: _Count = 0
    simulated: _Count = 0
    replayed: _Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a seal says. `receipts_root` is the RFC 9162 root over the canonical receipts in order of ordinal.

    `sealed_at` is in seconds since the epoch by the signer's clock. `public_key` is the signer's, in base64.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    job_id: Annotated[str, Field(min_length=1, max_length=100)]
    generation: Annotated[int, Field(ge=1, le=2**53 - 1)]
    sealed_at: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    public_key: str
    spec_sha256: Sha256Hex
    report_sha256: Sha256Hex
    receipts_root: Sha256Hex
    counts: Counts
    schema: Literal["beacon.seal/v1"] = "beacon.seal/v1"


_STATEMENT: TypeAdapter[Statement] = TypeAdapter(Statement)


@dataclass(frozen=True, slots=True)
class Seal:
    """A statement with the envelope that signs it."""

    statement: Statement
    envelope: Envelope
    key: PublicKey

    def to_bytes(self) -> bytes:
        """The envelope as it stands in a bundle and in the log."""
        return self.envelope.to_bytes()


class JobSealer:
    """Takes a job's receipts one by one, in order of ordinal, and seals them; O(log n) memory.

    Raises VerificationError where the receipts are not those of one job with this spec, InputError where one
    cannot be written as canonical JSON.
    """

    def __init__(self, job_id: str, spec_document: dict[str, Any]) -> None:
        self._job_id = job_id
        self._spec_sha256 = digest(spec_document)
        self._expected = JobSpec.model_validate(spec_document).total
        self._tree = Frontier()
        self._counted: Counter[str] = Counter()

    def add(self, receipt: Receipt) -> None:
        expected = execution_id(self._job_id, self._tree.size)
        if (receipt.execution_id, receipt.job_id, receipt.spec_sha256) != (expected, self._job_id, self._spec_sha256):
            what = f"this is not the receipt of {expected} under the job's spec, whose turn it is"
            raise VerificationError(what, where=receipt.execution_id)
        for contradiction in receipt.contradictions():
            raise VerificationError(f"the receipt contradicts itself: {contradiction}", where=receipt.execution_id)
        self._tree.append(leaf_hash(receipt.to_bytes()))
        count(self._counted, receipt)

    def seal(self, report_document: dict[str, Any], key: SigningKey, *, sealed_at: float, generation: int = 1) -> Seal:
        """Signs; raises VerificationError where receipts are missing."""
        if self._tree.size != self._expected:
            what = f"{self._tree.size} receipts for a job of {self._expected} executions"
            raise VerificationError(what, where=self._job_id)
        statement = Statement(
            job_id=self._job_id,
            generation=generation,
            sealed_at=sealed_at,
            public_key=encode_base64(key.public.raw),
            spec_sha256=self._spec_sha256,
            report_sha256=digest(report_document),
            receipts_root=self._tree.root().hex(),
            counts=Counts(total=self._tree.size, **self._counted),
        )
        envelope = sign_envelope(SEAL_TYPE, canonical_bytes(asdict(statement)), key)
        return Seal(statement, envelope, key.public)


def seal_job(
    receipts: Iterable[Receipt],
    report_document: dict[str, Any],
    spec_document: dict[str, Any],
    key: SigningKey,
    *,
    job_id: str,
    sealed_at: float,
    generation: int = 1,
) -> Seal:
    """`JobSealer` over receipts that are at hand. The same input gives the same seal, byte for byte."""
    sealer = JobSealer(job_id, spec_document)
    for receipt in receipts:
        sealer.add(receipt)
    return sealer.seal(report_document, key, sealed_at=sealed_at, generation=generation)


def count(counted: Counter[str], receipt: Receipt) -> None:
    """Adds one receipt to what will be `Counts`."""
    counted[receipt.status] += 1
    counted["simulated"] += receipt.simulated
    counted["replayed"] += receipt.replayed


def parse_seal(data: bytes, source: str) -> Seal:
    """A seal whose signature holds by the key that it states; whether that key is to be trusted is not known here.

    Raises VerificationError that names `source`.
    """
    envelope = parse_envelope(data, source)
    if envelope.payload_type != SEAL_TYPE:
        raise VerificationError(f"a payload of type {envelope.payload_type!r}, not {SEAL_TYPE!r}", where=source)
    parse_canonical(envelope.payload, source)
    try:
        statement = _STATEMENT.validate_json(envelope.payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise VerificationError(f"{field}: {first['msg']}", where=source) from None
    raw = decode_base64(statement.public_key, source)
    if len(raw) != _RAW_KEY_BYTES:
        raise VerificationError("public_key is not an Ed25519 key", where=source)
    key = PublicKey(raw)
    if not envelope.signed_by(key):
        raise VerificationError(f"the signature by key {key.key_id} does not hold", where=source)
    return Seal(statement, envelope, key)
