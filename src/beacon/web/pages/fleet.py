"""The fleet: what can be asked now, and how each provider does. Looking here wakes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from beacon.domain.fleet import Provider
from beacon.store import history, pauses
from beacon.store.history import Recent
from beacon.store.pauses import Pause
from beacon.web import forms
from beacon.web.pages.new_plan import served
from beacon.web.portal import Here
from beacon.web.providers import ProviderSnapshot

router = APIRouter(include_in_schema=False)
SEE_OTHER = 303
HOUR_S = 3600
"""The time that figures of providers are told for."""
MOST_CHANGES = 30


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """`now` is None where no router of this process knows; `recent` where nothing ended in the last hour; `pause` is
    that of the provider itself, not of its region."""

    provider: Provider
    now: ProviderSnapshot | None
    recent: Recent | None
    pause: Pause | None

    @property
    def may_prewarm(self) -> bool:
        p = self.provider
        can = p.cold_start > 0 and p.keep_warm != "never"
        return can and self.now is not None and str(self.now.state) in ("unknown", "cold")

    @property
    def address(self) -> str:
        return "declared by the operator" if self.provider.region_header is None else "stated by the provider"


@router.get("/fleet")
async def page(request: Request, portal: Here) -> Response:
    fleet = portal.fleet
    snapshots = portal.snapshot() if portal.snapshot else ()
    by_name = {snapshot.name: snapshot for snapshot in snapshots}
    recent = await portal.database.read(history.recent, portal.clock.wall() - HOUR_S)
    paused = {pause.name: pause for pause in await portal.database.read(pauses.current)}
    rows = [ProviderRow(p, by_name.get(p.name), recent.get(p.name), paused.get(p.name)) for p in fleet.providers]
    order = {region: place for place, region in enumerate(fleet.regions)}
    rows.sort(key=lambda row: order[row.provider.region])
    states: dict[str, int] = {}
    for snapshot in snapshots:
        states[str(snapshot.state)] = states.get(str(snapshot.state), 0) + 1
    return portal.renderer.page(
        request,
        "fleet.html",
        nav="/fleet",
        fleet=fleet,
        known=bool(snapshots),
        states=states,
        paused=paused,
        most_reason=forms.MOST_REASON,
        groups=[(region, list(some)) for region, some in groupby(rows, key=lambda row: row.provider.region)],
        served={(m, r): served(fleet, snapshots, m, r) for m in fleet.models for r in fleet.regions},
        changes=list(reversed(portal.changes()))[:MOST_CHANGES] if portal.changes else [],
        simulated=[p.name for p in fleet.providers if p.simulated],
    )


@router.post("/fleet/{name}/{what}")
async def act(name: str, what: Literal["prewarm", "pause", "resume"], request: Request, portal: Here) -> Response:
    """Wakes a provider by control calls; has a provider or a region take no new work, or take work again."""
    sent = await forms.read(request)
    match what:
        case "prewarm":
            await portal.actions.prewarm(name)
        case "pause":
            await portal.actions.pause(name, forms.reason(request, sent, "paused in the portal"))
        case "resume":
            await portal.actions.resume(name)
    return RedirectResponse(forms.own_path(sent.get("back", ""), "/fleet"), SEE_OTHER)
