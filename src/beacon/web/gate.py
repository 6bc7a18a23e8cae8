"""What stands between the guard and the pages where keys are configured: who asks, whether they may, how often."""

from __future__ import annotations

from math import ceil
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from beacon.domain.clock import Clock
from beacon.web.access import Access, Role
from beacon.web.guard import SAFE, Explain
from beacon.web.problems import RefusedError, wants_document
from beacon.web.rates import Rate

COOKIE = "beacon-session"
SIGN_IN = "/sign-in"
SEE_OTHER = 303
MINUTE_S = 60.0
"""Over which requests of one person, or one address, are counted."""
READS, CHANGES = 1_200, 120
"""In a minute, for each person, and for each address of those without a key."""
_OPEN = frozenset({"/healthz", "/readyz", SIGN_IN, "/sign-out", "/theme"})
_VIEWERS = frozenset({"/measurements"})
_SUBMITTERS = ("/jobs", "/executions/", "/api/v1/jobs", "/api/v1/executions/")


def needed(method: str, path: str) -> Role:
    """The lowest role that may do this; what nobody thought of is for operators."""
    if method in SAFE or path in _VIEWERS:
        return Role.VIEWER
    return Role.SUBMITTER if path.startswith(_SUBMITTERS) else Role.OPERATOR


class Gate:
    """ASGI middleware. Puts the `Person` that asks into the request's state."""

    def __init__(self, app: ASGIApp, *, access: Access, clock: Clock, explain: Explain) -> None:
        self._app = app
        self._access = access
        self._clock = clock
        self._explain = explain
        self._reads, self._changes = Rate(READS, MINUTE_S), Rate(CHANGES, MINUTE_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        person = self._access.person(request.headers.get("authorization"), request.cookies.get(COOKIE))
        request.state.person = person
        # That by which routes are found: the address of the request is also made of what its Host header says.
        path = scope["path"]
        if not self._access or path in _OPEN or path.startswith("/static/"):
            await self._app(scope, receive, send)
            return
        role = needed(request.method, path)
        refusal = self._too_often(request, person.name if person else "")
        if refusal is None and person is None:
            await (await self._ask_who(request))(scope, receive, send)
            return
        if refusal is None and person is not None and person.role < role:
            todo = f"sign in with a key of the role {role.word}"
            refusal = RefusedError(403, f"this takes the role {role.word}, and yours is {person.role.word}", todo=todo)
        if refusal is not None:
            await (await self._explain(request, refusal))(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _ask_who(self, request: Request) -> Response:
        if wants_document(request) or request.method not in SAFE:
            todo = "send a key as `Authorization: Bearer KEY`, or sign in"
            response = await self._explain(request, RefusedError(401, "who asks is not known", todo=todo))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        query = request.url.query
        back = f"{request.url.path}?{query}" if query else request.url.path
        return RedirectResponse(f"{SIGN_IN}?{urlencode({'back': back})}", SEE_OTHER)

    def _too_often(self, request: Request, name: str) -> RefusedError | None:
        reading = request.method in SAFE or request.url.path in _VIEWERS
        rate, most = (self._reads, READS) if reading else (self._changes, CHANGES)
        wait_s = rate.wait_s(name or f"@{address_of(request)}", self._clock.monotonic())
        return too_often(f"more than {most:,} requests a minute", wait_s) if wait_s else None


def too_often(what: str, wait_s: float) -> RefusedError:
    seconds = ceil(wait_s)
    return RefusedError(429, what, todo=f"try again in {seconds} s", retry_after_s=seconds)


def address_of(request: Request) -> str:
    """Of whoever holds the connection: a proxy, where one stands before the server."""
    return request.client.host if request.client else ""
