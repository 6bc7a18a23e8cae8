"""An answer passed on to a client while it comes: as it is, but never before its model has been compared."""

from __future__ import annotations

from beacon.router.redaction import REDACTED, SHORTEST
from beacon.router.transports.base import Sink
from beacon.router.transports.completion import Completion


class Relay:
    """What came is held back until a stream's first event, or a document's end, has been read.

    The provider's `key` is cut out of it.
    """

    __slots__ = ("_held", "_key", "_sink")

    def __init__(self, sink: Sink, key: str | None) -> None:
        self._sink = sink
        self._key = None if key is None or len(key) < SHORTEST else key.encode()
        self._held: list[bytes] = []

    async def pass_on(self, completion: Completion, chunk: bytes) -> None:
        """`chunk` has been fed to `completion`, and nothing in it is a fault."""
        self._held.append(chunk)
        if completion.streamed and (completion.echoes or completion.has_choice or completion.ended):
            await self._flush(streamed=True)

    async def end(self, completion: Completion) -> None:
        """The answer is whole."""
        if self._held:
            await self._flush(streamed=completion.streamed)

    async def _flush(self, *, streamed: bool) -> None:
        held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held.clear()
        if self._key is not None and self._key in held:
            held = held.replace(self._key, REDACTED.encode())
        await self._sink.take(held, streamed=streamed)
