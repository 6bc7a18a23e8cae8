"""The mailbox over HTTP (DESIGN section 6), and what the agent says of itself."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from beacon.agent.mailbox import Mailbox, OtherBodyError
from beacon.agent.served import UnservedError
from beacon.domain.failure import FailureKind, Stage
from beacon.domain.mailbox import KEY_FORM, UNKNOWN_KEY, MailboxEntry, MailboxError, Submission

MAX_BODY_BYTES = 4 * 2**20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(mailbox: Mailbox, key: str | None) -> web.Application:
    """`key` is the bearer token that every request but `GET /healthz` must carry, if there is one."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_guard(key), _explain])
    routes = _Routes(mailbox)
    app.router.add_put("/v1/inferences/{key}", routes.put)
    app.router.add_get("/v1/inferences/{key}", routes.get, allow_head=False)
    app.router.add_delete("/v1/inferences/{key}", routes.delete)
    app.router.add_get("/healthz", routes.healthz, allow_head=False)
    return app


class _Routes:
    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def put(self, request: web.Request) -> web.Response:
        """202 accepted, 200 known already, 409 another body under this key, 422 not served here, 429 no room."""
        key = _key(request)
        try:
            submission = Submission.model_validate_json(await request.read())
        except ValidationError as error:
            raise _refused(400, "bad_request", _what_is_wrong(error)) from error
        attempt = request.headers.get("X-Beacon-Attempt", "")
        # A client that goes away must not leave accepted work without anyone who does it.
        new = await asyncio.shield(self._mailbox.submit(key, submission, attempt if attempt.isdigit() else None))
        entry = await self._mailbox.read(key)
        if entry is None:
            raise _unknown(key)
        return _document(entry, 202 if new else 200)

    async def get(self, request: web.Request) -> web.Response:
        key = _key(request)
        entry = await self._mailbox.read(key, _wait_s(request))
        if entry is None:
            raise _unknown(key)
        return _document(entry, 200)

    async def delete(self, request: web.Request) -> web.Response:
        key = _key(request)
        entry = await asyncio.shield(self._mailbox.cancel(key))
        if entry is None:
            raise _unknown(key)
        return _document(entry, 200)

    async def healthz(self, _: web.Request) -> web.Response:
        """What the agent serves and how it knows. Asks the inference server for its list of models at most."""
        served = self._mailbox.served
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
                "concurrency": self._mailbox.concurrency,
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
                refusal = _refused(401, "unauthorised", "a bearer key is needed")
                refusal.headers["WWW-Authenticate"] = "Bearer"
                raise refusal
        return await handler(request)

    return guard


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal in one shape: `{"error": {kind, stage, message}}`."""
    try:
        return await handler(request)
    except OtherBodyError:
        raise _refused(409, "conflict", "other work was accepted under this key before") from None
    except UnservedError as error:
        return _error(error.status, error.fault)
    except sqlite3.Error as error:
        raise _refused(503, FailureKind.PROVIDER_ERROR.value, f"the state file cannot be used: {error}") from error
    except web.HTTPRequestEntityTooLarge:
        raise _refused(413, "bad_request", f"a body holds at most {MAX_BODY_BYTES // 2**20} MiB") from None


def _error(status: int, fault: MailboxError) -> web.Response:
    headers = {} if fault.retry_after_s is None else {"Retry-After": f"{fault.retry_after_s:.0f}"}
    return web.json_response({"error": fault.model_dump(exclude_none=True)}, status=status, headers=headers)


class _Refusal(web.HTTPException):
    def __init__(self, status: int, fault: MailboxError) -> None:
        self.status_code = status
        text = json.dumps({"error": fault.model_dump(exclude_none=True)})
        super().__init__(text=text, content_type="application/json")


def _refused(status: int, kind: str, message: str) -> _Refusal:
    return _Refusal(status, MailboxError(kind=kind, stage=Stage.ROUTE.value, message=message))


def _unknown(key: str) -> _Refusal:
    return _refused(404, UNKNOWN_KEY, f"nothing is known under the key {key!r}")


def _document(entry: MailboxEntry, status: int) -> web.Response:
    # ASCII, so that a half of a surrogate pair that a model wrote travels as an escape.
    return web.json_response(entry.model_dump(mode="python"), status=status, dumps=json.dumps)


def _key(request: web.Request) -> str:
    key = request.match_info["key"]
    if not KEY_FORM.match(key):
        what = "a key has up to 200 letters, digits, dots, colons, hyphens and underscores"
        raise _refused(400, "bad_request", what)
    return key


def _wait_s(request: web.Request) -> float:
    """Seconds that the read may wait."""
    text = request.query.get("wait", "0")
    try:
        wait = float(text)
    except ValueError:
        wait = math.nan
    if not 0 <= wait < math.inf:
        raise _refused(400, "bad_request", f"wait takes seconds, found {text[:40]!r}")
    return wait


def _what_is_wrong(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
