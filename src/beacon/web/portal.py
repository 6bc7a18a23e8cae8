"""What the routes share: the database, what may be changed, and what is kept in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from beacon.domain.clock import Clock
from beacon.domain.fleet import Fleet
from beacon.errors import DatabaseError
from beacon.store.database import Database
from beacon.web.access import Access
from beacon.web.actions import Actions
from beacon.web.assets import Assets
from beacon.web.boards import Boards
from beacon.web.comparisons import Comparisons
from beacon.web.pages.live import LivePages
from beacon.web.pages.render import Renderer
from beacon.web.providers import ProviderChanges, Snapshot
from beacon.web.rates import Rate
from beacon.web.summaries import Summaries
from beacon.web.watch import Watches


@dataclass(frozen=True, slots=True)
class Portal:
    """`snapshot` and `changes` are None where no router runs in this process, `comparisons` where no analyst does,
    `away` where no runner does."""

    database: Database
    clock: Clock
    actions: Actions
    read_fleet: Callable[[], Fleet]
    snapshot: Snapshot | None
    changes: ProviderChanges | None
    comparisons: Comparisons | None
    away: Callable[[], DatabaseError | None] | None
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
