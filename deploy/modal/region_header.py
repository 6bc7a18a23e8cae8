"""An ASGI middleware that states where it runs, in the header `X-Region`.

vLLM loads it by `--middleware region_header.RegionHeader`. It states what Modal tells the container in
`MODAL_REGION`, not what was asked for: a container in another place is then found out by Beacon.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Modal names clouds' own regions, such as us-ashburn-1, eu-frankfurt-1, europe-west4 or ap-tokyo-1.
CONTINENTS = {"us": "us", "eu": "eu", "europe": "eu", "ap": "apac", "asia": "apac"}


def stated_region(told: str) -> str:
    """The region by its name's first part, or the name as it is, which Beacon then refuses by that name."""
    return CONTINENTS.get(told.lower().partition("-")[0], told or "unknown")


class RegionHeader:
    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._header = (b"x-region", stated_region(os.environ.get("MODAL_REGION", "")).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_region(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, with_region if scope["type"] == "http" else send)
