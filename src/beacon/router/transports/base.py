"""What every transport offers to the router."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from beacon.domain.answer import Inference, Outcome
from beacon.domain.deadline import Deadline

Report = Callable[[str], Awaitable[None]]


async def nobody_notes(reference: str) -> None:
    """For calls of which nobody records anything."""


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A chat-completions request that a client wrote. It goes on as it is, but for the provider's name of the model.

    `body` are the bytes that `document` was read from, where there are any: they are sent as they came if they can be.
    """

    document: dict[str, Any]
    body: bytes | None = None

    def encoded(self, model: str) -> bytes:
        if self.body is not None and self.document.get("model") == model:
            return self.body
        return json.dumps({**self.document, "model": model}).encode()


class Sink(Protocol):
    """Where the bytes of an answer go while it comes: a client's own connection."""

    async def take(self, chunk: bytes, *, streamed: bool) -> None:
        """The next bytes of a stream, or a whole document. What they state of their model has been compared."""
        ...


@dataclass(slots=True)
class Call:
    """One inference on its way to one provider.

    `may_be_cold` tells that the provider has a cold start and was not known to be warm when the call began;
    `stages_ms` holds the time that earlier stages took, in milliseconds, and the transport adds its own.

    `report` is told the provider's own reference to the inference as soon as there is one, and returns when it is
    recorded; `reference` is what was told of the same inference before.

    `request` is sent in place of the one that the inference stands for; `sink` is given the answer's bytes.
    """

    inference: Inference
    deadline: Deadline
    may_be_cold: bool
    stages_ms: dict[str, float] = field(default_factory=dict)
    reference: str | None = None
    report: Report = nobody_notes
    request: ClientRequest | None = None
    sink: Sink | None = None


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


@runtime_checkable
class KeepsByReference(Protocol):
    """What a transport offers besides where its provider keeps results under a reference of its own making.

    Before the provider has told the reference, a cut leaves the outcome unknown. From then on it is as with
    `KeepsResults`: cancelling `infer` leaves the work, `withdraw` ends it as far as the provider allows.
    """

    async def fetch(self, call: Call) -> Outcome | None:
        """What became of the inference of `call.reference`, as `KeepsResults.fetch` tells it."""
        ...

    async def withdraw(self, reference: str, deadline: Deadline) -> None:
        """Withdraws an inference, with one try before the deadline. Never raises for what a network does."""
        ...
