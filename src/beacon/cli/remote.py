"""`beacon run --server`: a `beacon serve` runs the job, and this process follows it over the API."""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from beacon.cli.following import Telling, tell
from beacon.cli.terminal import say
from beacon.domain.spec import JobSpec, to_document
from beacon.domain.states import JobStatus, Verdict
from beacon.errors import (
    BeaconError,
    ConflictError,
    DocumentError,
    ExitCode,
    InputError,
    NotFoundError,
    UnavailableError,
)
from beacon.router.transports.exchange import reason
from beacon.store.jobs import Job
from beacon.web.access import KEY_VARIABLE

LOOK_S = 0.5
"""How often the server is asked how far the job is, and the pause before it is asked again after a failure."""
SAY_S = 5.0
"""How often a line of progress may be said."""
PATIENCE_S = 30.0
"""For how long a server that was reached once may be away."""
REQUEST_S = 30.0
"""A request to the API asks for what is in the database; it waits for no model."""

Json = dict[str, Any]


async def run_remotely(server: str, wanted: JobSpec | str, telling: Telling) -> ExitCode:
    """Submits a spec, or takes the id of a job, and follows it to its end.

    Raises InputError for what the server refuses, UnavailableError where it cannot be reached or used.
    """
    async with _session() as session:
        api = Api(session, server)
        job = await (api.job(wanted) if isinstance(wanted, str) else api.submit(wanted))
        say(job.id if telling.as_json else f"job {job.id}, {api.address}/jobs/{job.id}")
        try:
            job = await _followed(api, job, quiet=telling.as_json)
        except (asyncio.CancelledError, UnavailableError):
            say(f"The server goes on with the job. Follow it with: {_how_to_follow(job.id, api)}")
            raise
        report = await api.report(job.id)
    return tell(job, report, replace(telling, page=f"{api.address}/jobs/{job.id}/findings"))


async def explained(server: str, execution_id: str) -> Json:
    """What the server tells of an execution. Raises InputError, UnavailableError."""
    async with _session() as session:
        return await Api(session, server).explanation(execution_id)


def _session() -> aiohttp.ClientSession:
    """With the key of the environment, where there is one."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S), headers=headers)


def _how_to_follow(job_id: str, api: Api) -> str:
    return f"beacon run --resume {job_id} --server {api.address}"


async def _followed(api: Api, job: Job, *, quiet: bool) -> Job:
    """The job once it is over."""
    said, said_at = "", -SAY_S
    while True:
        line, now = _progress(job), time.monotonic()
        if not quiet and line != said and (job.over or now - said_at >= SAY_S):
            say(line)
            said, said_at = line, now
        if job.over:
            return job
        await asyncio.sleep(LOOK_S)
        job = await _patiently(api, job.id)


async def _patiently(api: Api, job_id: str) -> Job:
    """Reads the job; a server that is away for a moment, as while it is restarted, is waited for."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await api.job(job_id)
        except UnavailableError:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(LOOK_S)


def _progress(job: Job) -> str:
    if job.status is JobStatus.FINALIZING:
        return "Finalizing results…"
    bad = sum(job.counts[name] for name in ("failed", "timed_out", "cancelled"))
    return f"{job.status.value}, {job.done:,} of {job.total:,}" + (f"; {bad:,} unsuccessful" if bad else "")


class Api:
    """The API of one server. Every method raises InputError or UnavailableError."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            todo = "write for example http://127.0.0.1:8080"
            raise InputError(f"not the address of a server: {server!r}", where="--server", todo=todo)
        self.address = server.rstrip("/")
        self._session = session

    async def submit(self, spec: JobSpec) -> Job:
        """Once, however often it has to be sent: the key makes a repetition find the job of the first try."""
        body = json.dumps(document_of(spec))
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        try:
            return _job(await self._ask("POST", "jobs", data=body, headers=headers))
        except UnavailableError:
            await asyncio.sleep(LOOK_S)
            return _job(await self._ask("POST", "jobs", data=body, headers=headers))

    async def job(self, job_id: str) -> Job:
        return _job(await self._ask("GET", f"jobs/{quote(job_id, safe='')}"))

    async def report(self, job_id: str) -> Json | None:
        try:
            return await self._ask("GET", f"jobs/{quote(job_id, safe='')}/report")
        except NotFoundError:
            return None

    async def explanation(self, execution_id: str) -> Json:
        return await self._ask("GET", f"executions/{quote(execution_id, safe='')}/explanation")

    async def _ask(self, method: str, path: str, **more: Any) -> Json:
        try:
            async with self._session.request(method, f"{self.address}/api/v1/{path}", **more) as response:
                answer = await response.json(content_type=None)
        except aiohttp.InvalidURL as error:
            raise InputError(f"not the address of a server: {self.address!r}", where="--server") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"no answer within {REQUEST_S:g} s" if isinstance(error, TimeoutError) else reason(error)
            todo = "check the address, and that `beacon serve` runs there"
            raise UnavailableError(f"the server cannot be reached: {why}", where=self.address, todo=todo) from error
        except ValueError as error:
            raise self._foreign() from error
        if not isinstance(answer, dict):
            raise self._foreign()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise problem(answer, response.status, self.address)
        return answer

    def _foreign(self) -> UnavailableError:
        todo = "name the address that `beacon serve` says, without a path"
        return UnavailableError("what answers there is no Beacon server", where=self.address, todo=todo)


def document_of(spec: JobSpec) -> Json:
    """The spec as a client sends it: questions inlined; the personas' prompts are the server's to add."""
    document = to_document(spec)
    document.pop("persona_prompts", None)
    return document


def problem(told: Json, status: int, address: str) -> BeaconError:
    """A problem document (RFC 9457) as the error that it was on the server."""
    what, where, todo = str(told.get("detail", f"the server answered {status}")), told.get("where"), told.get("todo")
    faults = [
        InputError(fault["message"], where=fault.get("path"), todo=fault.get("hint"))
        for fault in told.get("faults", [])
    ]
    if faults:
        return DocumentError("what was sent", faults)
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(what, where=where or address, todo=todo)
    if status == HTTPStatus.CONFLICT:
        return ConflictError(what, where=where or address, todo=todo)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return InputError(what, where=where or address, todo=todo)
    return UnavailableError(what, where=where or address, todo=todo)


def _job(told: Json) -> Job:
    """A job as the API tells it (`JobOut`); of the moments before the barrier it tells the gap alone."""
    finalizing_at, gap = told["finalizing_at"], told["barrier_gap_ms"]
    last = None if finalizing_at is None or gap is None else finalizing_at - gap / 1000
    same = (
        *("id", "name", "error", "generation", "seq", "done", "counts", "simulated", "replayed", "cost_unknown"),
        *("stop_kind", "finalize_step", "created_at", "started_at", "finalizing_at", "completed_at"),
    )
    return Job(
        status=JobStatus(told["status"]),
        verdict=Verdict(told["verdict"]) if told["verdict"] else None,
        total=told["counts"]["total"],
        admitted=told["started_at"] is not None,
        admitted_shards=0,
        cost_usd=told["cost_known_usd"],
        last_finished_at=last,
        **{name: told[name] for name in same},
    )
