"""The portal and the API in this process, beside the runner that does what they ask for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from beacon.cli.embedded import Embedded
from beacon.domain.clock import SystemClock
from beacon.domain.failure import FailureKind
from beacon.domain.fleet import Provider
from beacon.domain.spec import SpecDocument, check_against_fleet
from beacon.errors import NotFoundError
from beacon.runner.admission import documents_of, new_job_id, submit
from beacon.runner.analyst import Analyst
from beacon.runner.inputs import complete
from beacon.runner.schedule import check_cron
from beacon.store import interventions, leases, limits, pauses, schedules
from beacon.store.executions import Filter
from beacon.web.access import Key
from beacon.web.actions import Retried, Submitted
from beacon.web.app import create_app
from beacon.web.guard import LOOPBACK

GRACE_S = 2
"""How long open event streams may delay the end of the server."""


class LocalActions:
    """What people ask of the API, done on this process's database; its runner finds the work there."""

    def __init__(self, house: Embedded) -> None:
        self._house = house
        self._clock = SystemClock()
        self._waking: set[asyncio.Task[None]] = set()

    async def submit(self, document: SpecDocument, idempotency_key: str | None) -> Submitted:
        spec = complete(document, "the spec", idempotency_key=idempotency_key)
        check_against_fleet(spec, self._house.fleet, "the spec")
        job_id, new = await submit(self._house.database, spec, self._house.fleet, self._clock, idempotency_key)
        return Submitted(job_id, new)

    async def cancel(self, job_id: str, why: str | None = None) -> bool:
        return await self._stop(job_id, FailureKind.CANCELLED, why)

    async def end_stragglers(self, job_id: str, why: str | None = None) -> bool:
        return await self._stop(job_id, FailureKind.STRAGGLER, why)

    async def _stop(self, job_id: str, kind: FailureKind, why: str | None) -> bool:
        now = self._clock.wall()
        return await self._house.database.write(interventions.request_stop, job_id, kind.value, now, why)

    async def prewarm(self, provider: str) -> None:
        found = self._provider(provider)
        waking = asyncio.create_task(self._house.router.prewarm([(model, found.region) for model in found.models]))
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)

    async def pause(self, name: str, why: str) -> None:
        if name not in self._house.router.fleet.regions:
            self._provider(name)
        await self._house.database.write(pauses.pause, name, why, self._clock.wall())
        # Every process follows the database; this one shows it at once.
        self._house.router.pause(name, why)

    async def resume(self, name: str) -> None:
        if name not in self._house.router.fleet.regions:
            self._provider(name)
        await self._house.database.write(pauses.resume, name, self._clock.wall())
        self._house.router.resume(name)

    async def limit(self, name: str, at_most: int, why: str) -> None:
        if name not in self._house.router.fleet.regions:
            self._provider(name)
        await self._house.database.write(limits.put, name, at_most, why, self._clock.wall())

    async def lift(self, name: str) -> None:
        await self._house.database.write(limits.lift, name, self._clock.wall())

    async def add_schedule(self, document: SpecDocument, cron: str) -> str:
        check_cron(cron, "cron")
        spec = complete(document, "the spec")
        check_against_fleet(spec, self._house.fleet, "the spec")
        spec_json, fleet_json, _ = documents_of(spec, self._house.fleet)
        schedule_id, pins = new_job_id(), document.seed is not None
        now = await self._house.database.read(leases.moment, self._clock.wall())
        given = (schedule_id, spec.name, cron, (spec_json, fleet_json), now)
        await self._house.database.write(schedules.add, *given, pins=pins)
        return schedule_id

    async def remove_schedule(self, schedule_id: str) -> None:
        await self._house.database.write(schedules.remove, schedule_id, self._clock.wall())

    def _provider(self, name: str) -> Provider:
        found = next((p for p in self._house.router.fleet.providers if p.name == name), None)
        if found is None:
            raise NotFoundError(f"no provider {name!r}", todo="the page Fleet lists them")
        return found

    async def retry(self, job_id: str, *, kind: str | None = None, execution_ids: Sequence[str] = ()) -> Retried:
        chosen = Filter(kinds=(kind,) if kind else ())
        now = self._clock.wall()
        reopened = await self._house.database.write(interventions.reopen, job_id, chosen, now, execution_ids)
        return Retried(reopened.count, reopened.generation)


class _Server(uvicorn.Server):
    """Leaves signals to the command that serves: it stops the runner first, and the server with it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PortalServer:
    """Portal, API and runner over one listening socket."""

    def __init__(
        self,
        house: Embedded,
        listener: socket.socket,
        *,
        keys: Sequence[Key] = (),
        public: bool = False,
        names: Collection[str] = (),
    ) -> None:
        self._house = house
        self._listener = listener
        # One of its own: a long comparison must not keep a job from being finalized.
        self._analyst = Analyst()
        app = create_app(
            house.database,
            actions=LocalActions(house),
            fleet=lambda: house.router.fleet,
            snapshot=house.router.snapshot,
            changes=house.router.changes,
            drift=self._drift,
            away=house.runner.presence.error,
            keys=keys,
            public=public,
            hosts=LOOPBACK | {*names},
        )
        config = uvicorn.Config(
            app, http="httptools", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S
        )
        self._server = _Server(config)

    async def run(self) -> None:
        """Serves, and takes up every unfinished job, until `stop`, Ctrl-C or SIGTERM."""
        async with self._analyst:
            running = asyncio.create_task(self._house.runner.serve())
            serving = asyncio.create_task(self._server.serve(sockets=[self._listener]))
            await asyncio.wait([running, serving], return_when=asyncio.FIRST_COMPLETED)
            self.stop()
            await asyncio.gather(running, serving)

    async def _drift(self, base_id: str, other_id: str) -> dict[str, Any]:
        document: dict[str, Any] = await self._analyst.ask("drift", self._house.database.url, base_id, other_id)
        return document

    def stop(self) -> None:
        self._house.runner.stop()
        self._server.should_exit = True
