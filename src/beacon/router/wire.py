"""How a provider is spoken to, as one version of the fleet says; replaced when the fleet is reloaded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from beacon.domain.fleet import Provider
from beacon.router.transports.base import Transport


@dataclass(slots=True, eq=False)
class Wire:
    """`held` counts who may still send over it, or waits for what was sent."""

    provider: Provider
    transport: Transport
    key: str | None = field(default=None, repr=False)
    held: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def hold(self) -> None:
        self.held += 1

    def let_go(self) -> None:
        self.held -= 1
        if self.held == 0:
            self._idle.set()

    async def close_when_idle(self) -> None:
        """Lets everybody who holds it finish, and closes it. Cancelling it closes it at once."""
        try:
            while self.held:
                self._idle.clear()
                await self._idle.wait()
        finally:
            await self.transport.close()
