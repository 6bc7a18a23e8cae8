"""Who does the work of a mailbox: an agent's inference server, or the router of a gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.mailbox import MailboxError, Submission
from beacon.mailbox.state import Accepted, Ended

Note = Callable[[str], Awaitable[None]]
"""Told a provider's own reference to the work; returns once it is on disk."""


class UnservedError(Exception):
    """Work that is not done here; `fault` says why, `status` is the HTTP status that says it."""

    def __init__(self, fault: MailboxError, status: int = 422) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.status = status


def unserved(kind: FailureKind | str, what: str, *, status: int = 422, **more: Any) -> UnservedError:
    """A refusal before anything was accepted; `what` continues "it says that"."""
    return UnservedError(MailboxError(kind=str(kind), stage=Stage.ROUTE.value, message=what, **more), status)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a submission is here: its canonical region, and the request as it is kept."""

    region: str
    model: str
    upstream_model: str
    request: dict[str, Any]
    provider: str | None = None


class Slot(Protocol):
    """The right to ask once. Released exactly once."""

    @property
    def provider(self) -> str: ...

    @property
    def upstream_model(self) -> str: ...

    async def do(self, work: Accepted, deadline: Deadline, queued_ms: float, note: Note) -> Ended | None:
        """Asks once; None where the deadline passed. Cancelling it gives the work up."""
        ...

    def release(self) -> None: ...


class Worker(Protocol):
    async def admit(self, submission: Submission) -> Admitted:
        """Raises UnservedError."""
        ...

    async def place_now(self, work: Accepted) -> Slot | None:
        """A slot where one is free at once."""
        ...

    async def place(self, work: Accepted) -> Slot:
        """Waits for a slot, first come, first served. What cancels it takes none."""
        ...

    def expired_in_queue(self, work: Accepted, waited_ms: float) -> MailboxError:
        """Why work had no slot before its deadline."""
        ...

    async def take_over(self, work: Accepted, deadline: Deadline) -> Ended | None:
        """How work ended that an earlier process had begun; None where nothing is known of it."""
        ...

    async def withdraw(self, work: Accepted) -> None:
        """Tells whoever still works on it that nobody wants it any more."""
        ...

    def origin(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Who serves the work of that row, and how its region and model are known."""
        ...
