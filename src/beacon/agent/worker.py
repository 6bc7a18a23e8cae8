"""The inference server as the one who does a mailbox's work: so much at once, the rest in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from beacon.agent.served import Served
from beacon.agent.upstream import Upstream
from beacon.domain.deadline import Deadline
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.mailbox import MailboxError, Submission
from beacon.mailbox.state import Accepted, Ended
from beacon.mailbox.worker import Admitted, Note


class InferenceServer:
    """At most `concurrency` inferences are at it at once."""

    def __init__(self, served: Served, upstream: Upstream, concurrency: int) -> None:
        self.served = served
        self.upstream = upstream
        self.concurrency = concurrency
        self.room = asyncio.Semaphore(concurrency)

    async def admit(self, submission: Submission) -> Admitted:
        """Raises UnservedError that names what is served."""
        self.served.check_region(submission.region)
        name = (await self.served.model(submission.model)).upstream_name
        return Admitted(self.served.region, submission.model, name, _for_upstream(submission.request, name))

    async def place_now(self, work: Accepted) -> Place | None:
        return None if self.room.locked() else await self.place(work)

    async def place(self, work: Accepted) -> Place:
        await self.room.acquire()
        return Place(self, work.upstream_model)

    def expired_in_queue(self, work: Accepted, waited_ms: float) -> MailboxError:
        what = "the deadline passed in its queue"
        return MailboxError(kind=FailureKind.DEADLINE_EXPIRED.value, stage=Stage.QUEUE.value, message=what)

    async def take_over(self, work: Accepted, deadline: Deadline) -> Ended | None:
        """The inference server keeps nothing."""
        return None

    async def withdraw(self, work: Accepted) -> None:
        """What closes the connection tells the inference server."""

    def origin(self, row: Mapping[str, Any]) -> tuple[str | None, str | None]:
        served = self.served.models.get(row["model"])
        how = None if served is None else f"region: started with --region; model: {served.how_known}"
        return self.upstream.origin, how


class Place:
    """One of the places at the inference server."""

    def __init__(self, server: InferenceServer, upstream_model: str) -> None:
        self.provider = server.upstream.origin
        self.upstream_model = upstream_model
        self._server = server

    async def do(self, work: Accepted, deadline: Deadline, queued_ms: float, note: Note) -> Ended | None:
        try:
            async with asyncio.timeout(deadline.left_s()):
                return await self._server.upstream.ask(work, deadline, queued_ms)
        except TimeoutError:
            return None

    def release(self) -> None:
        self._server.room.release()


def _for_upstream(request: dict[str, Any], model: str) -> dict[str, Any]:
    """The request as one document for one document: what is kept is a whole answer, so nothing is streamed."""
    kept = {name: value for name, value in request.items() if name != "stream_options"}
    return {**kept, "model": model, "stream": False}
