"""What people may change through the API and the portal. Whoever starts the server says how it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from beacon.domain.spec import SpecDocument


@dataclass(frozen=True, slots=True)
class Submitted:
    """`new` is false where the idempotency key had made this job before."""

    job_id: str
    new: bool


@dataclass(frozen=True, slots=True)
class Retried:
    """How many executions were set to `retrying`, and the generation that they belong to."""

    count: int
    generation: int


class Actions(Protocol):
    async def submit(self, document: SpecDocument, idempotency_key: str | None) -> Submitted:
        """Stores a job that will be run. Raises DocumentError with every fault of the document, and
        ConflictError for a key that has made another job."""
        ...

    async def cancel(self, job_id: str, why: str | None = None) -> bool:
        """Asks the job to stop; False where it is past stopping or was asked before. Raises NotFoundError."""
        ...

    async def end_stragglers(self, job_id: str, why: str | None = None) -> bool:
        """Ends what is under way, as `cancelled`, so that the rest is finalized; False where it is past stopping or
        was asked to stop before. Raises NotFoundError."""
        ...

    async def prewarm(self, provider: str) -> None:
        """Begins to wake a provider, and the others of its cells, as a job would. Raises NotFoundError."""
        ...

    async def pause(self, name: str, why: str) -> None:
        """The provider or region takes no new work until it is resumed. Raises NotFoundError for an unknown name,
        and ConflictError where it is paused already."""
        ...

    async def resume(self, name: str) -> None:
        """Undoes a pause of the same name. Raises NotFoundError where there is none."""
        ...

    async def retry(self, job_id: str, *, kind: str | None = None, execution_ids: Sequence[str] = ()) -> Retried:
        """Reopens unsuccessful executions: all, those of a kind, or those named, and has them run.

        Raises NotFoundError, and ConflictError while the job is finalizing.
        """
        ...
