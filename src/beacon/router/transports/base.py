"""What every transport offers to the router."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from beacon.domain.answer import Inference, Outcome
from beacon.domain.deadline import Deadline


@dataclass(slots=True)
class Call:
    """One inference on its way to one provider.

    `may_be_cold` tells that the provider has a cold start and was not known to be warm when the call began;
    `stages_ms` holds the time that earlier stages took, in milliseconds, and the transport adds its own.
    """

    inference: Inference
    deadline: Deadline
    may_be_cold: bool
    stages_ms: dict[str, float] = field(default_factory=dict)


class Transport(Protocol):
    """One provider, spoken to in one way."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def infer(self, call: Call) -> Outcome:
        """Asks once, and waits for the outcome until the deadline.

        Never raises for what a provider or a network does. Cancelling it aborts the request, but for a provider
        that keeps results.
        """
        ...


@runtime_checkable
class KeepsResults(Protocol):
    """What a transport offers besides where its provider keeps results under the inference's key.

    Cancelling its `infer` stops the waiting and leaves the work, to be fetched by whoever goes on; `cancel`
    withdraws it.
    """

    async def fetch(self, call: Call) -> Outcome | None:
        """What became of an inference that was sent before, under way or over, without sending it again.

        Waits for the outcome until the deadline. None where the provider does not know the key.
        """
        ...

    async def cancel(self, key: str, deadline: Deadline) -> None:
        """Withdraws an inference, with one try before the deadline. Never raises for what a network does."""
        ...
