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
from beacon.runner.admission import submit
from beacon.runner.analyst import Analyst
from beacon.runner.inputs import complete
from beacon.store import interventions, pauses
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

    async def cancel(self, job_id: str) -> bool:
        return await self._stop(job_id, FailureKind.CANCELLED)

    async def end_stragglers(self, job_id: str) -> bool:
        return await self._stop(job_id, FailureKind.STRAGGLER)

    async def _stop(self, job_id: str, kind: FailureKind) -> bool:
        return await self._house.database.write(interventions.request_stop, job_id, kind.value, self._clock.wall())

    async def prewarm(self, provider: str) -> None:
        found = self._provider(provider)
        waking = asyncio.create_task(self._house.router.prewarm([(model, found.region) for model in found.models]))
        self._waking.add(waking)
        waking.add_done_callback(self._waking.discard)

    async def pause(self, provider: str, why: str) -> None:
        name = self._provider(provider).name
        await self._house.database.write(pauses.pause, name, why, self._clock.wall())
        # Every process follows the database; this one shows it at once.
        self._house.router.pause(name, why)

    async def resume(self, provider: str) -> None:
        name = self._provider(provider).name
        await self._house.database.write(pauses.resume, name, self._clock.wall())
        self._house.router.resume(name)

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
