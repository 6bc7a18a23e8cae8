"""What the routes share: the database, what may be changed, and what is kept in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet
from beacon.store.database import Database
from beacon.web.access import Access
from beacon.web.actions import Actions
from beacon.web.assets import Assets
from beacon.web.boards import Boards
from beacon.web.pages.live import LivePages
from beacon.web.pages.render import Renderer
from beacon.web.providers import ProviderChanges, Snapshot
from beacon.web.rates import Rate
from beacon.web.summaries import Summaries
from beacon.web.watch import Watches

Drift = Callable[[str, str], Awaitable[dict[str, Any]]]
"""What changed from one job, that is over, to another: the document that `beacon drift --json` prints."""


@dataclass(frozen=True, slots=True)
class Portal:
    """`snapshot` and `changes` are None where no router runs in this process, `drift` where no analyst does."""

    database: Database
    clock: Clock
    actions: Actions
    read_fleet: Callable[[], Fleet]
    snapshot: Snapshot | None
    changes: ProviderChanges | None
    drift: Drift | None
    boards: Boards
    summaries: Summaries
    watches: Watches
    assets: Assets
    renderer: Renderer
    live_pages: LivePages
    access: Access
    wrong_keys: Rate

    @property
    def fleet(self) -> Fleet:
        """As it is now: a fleet may be read again while the server runs."""
        return self.read_fleet()


def portal_of(request: Request) -> Portal:
    portal: Portal = request.app.state.portal
    return portal


Here = Annotated[Portal, Depends(portal_of)]
