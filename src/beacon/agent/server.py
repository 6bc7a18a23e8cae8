"""The mailbox over HTTP (DESIGN section 6), and what the agent says of itself."""

from __future__ import annotations

import asyncio
import hmac
import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from beacon.agent.worker import InferenceServer
from beacon.domain.failure import FailureKind
from beacon.domain.mailbox import MailboxEntry
from beacon.mailbox.mailbox import Mailbox, OtherBodyError
from beacon.mailbox.reading import (
    MAX_BODY_BYTES,
    other_body,
    read_attempt,
    read_key,
    read_submission,
    read_wait,
    too_large,
    unknown,
)
from beacon.mailbox.worker import UnservedError, unserved

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(mailbox: Mailbox, server: InferenceServer, key: str | None) -> web.Application:
    """`key` is the bearer token that every request but `GET /healthz` must carry, if there is one."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_explain, _guard(key)])
    routes = _Routes(mailbox, server)
    app.router.add_put("/v1/inferences/{key}", routes.put)
    app.router.add_get("/v1/inferences/{key}", routes.get, allow_head=False)
    app.router.add_delete("/v1/inferences/{key}", routes.delete)
    app.router.add_get("/healthz", routes.healthz, allow_head=False)
    return app


class _Routes:
    def __init__(self, mailbox: Mailbox, server: InferenceServer) -> None:
        self._mailbox = mailbox
        self._server = server

    async def put(self, request: web.Request) -> web.Response:
        """202 accepted, 200 known already, 409 another body under this key, 422 not served here, 429 no room."""
        key = read_key(request.match_info["key"])
        submission = read_submission(await request.read())
        attempt = read_attempt(request.headers.get("X-Beacon-Attempt"))
        # A client that goes away must not leave accepted work without anyone who does it.
        new = await asyncio.shield(self._mailbox.submit(key, submission, attempt))
        entry = await self._mailbox.read(key)
        if entry is None:
            raise unknown(key)
        return _document(entry, 202 if new else 200)

    async def get(self, request: web.Request) -> web.Response:
        key = read_key(request.match_info["key"])
        entry = await self._mailbox.read(key, read_wait(request.query.get("wait", "0")))
        if entry is None:
            raise unknown(key)
        return _document(entry, 200)

    async def delete(self, request: web.Request) -> web.Response:
        key = read_key(request.match_info["key"])
        entry = await asyncio.shield(self._mailbox.cancel(key))
        if entry is None:
            raise unknown(key)
        return _document(entry, 200)

    async def healthz(self, _: web.Request) -> web.Response:
        """What the agent serves and how it knows. Asks the inference server for its list of models at most."""
        served = self._server.served
        if served.not_listed_why is not None:
            await served.look()
        models = {
            name: {"upstream_model": model.upstream_name, "how_known": model.how_known}
            for name, model in served.models.items()
        }
        return web.json_response(
            {
                "status": "ok",
                "region": served.region,
                "region_how_known": "started with --region",
                "models": models,
                "models_not_listed": served.not_listed_why,
                "concurrency": self._server.concurrency,
                "max_queued": self._mailbox.max_queued,
                "keep_s": self._mailbox.keep_s,
                **self._mailbox.counts(),
            }
        )


def _guard(key: str | None) -> Any:
    expected = None if key is None else f"Bearer {key}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if expected is not None and request.path != "/healthz":
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, expected):
                raise unserved("unauthorised", "a bearer key is needed", status=401)
        return await handler(request)

    return guard


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in one shape: `{"error": {kind, stage, message}}`."""
    try:
        return await handler(request)
    except OtherBodyError:
        return _error(other_body())
    except UnservedError as error:
        return _error(error)
    except sqlite3.Error as error:
        return _error(unserved(FailureKind.PROVIDER_ERROR, f"the state file cannot be used: {error}", status=503))
    except web.HTTPRequestEntityTooLarge:
        return _error(too_large())


def _error(refused: UnservedError) -> web.Response:
    fault = refused.fault
    headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:.0f}"}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(
        {"error": fault.model_dump(exclude_none=True, exclude_defaults=True)}, status=refused.status, headers=headers
    )


def _document(entry: MailboxEntry, status: int) -> web.Response:
    # ASCII, so that a half of a surrogate pair that a model wrote travels as an escape.
    return web.json_response(entry.model_dump(mode="python"), status=status, dumps=json.dumps)
