"""What stands before every request: the host's name, the origin of what changes something, security headers.

A page of another site must not reach a portal on this machine: not by a name that it points at the loopback
address (the Host check), and not by a form or script of its own (the origin check; forms also carry a token).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beacon.web.problems import RefusedError

MAX_BODY_BYTES = 9_000_000
"""A little more than the largest document that is read (`MAX_DOCUMENT_BYTES`)."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HERE = frozenset({"same-origin", "none"})
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types beacon",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]*)?")

Explain = Callable[[Request, RefusedError], Awaitable[Response]]


class Guard:
    """ASGI middleware. `hosts` are the names under which the server may be addressed, without port."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], explain: Explain) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is None:
            await self._app(scope, _limited(receive), send_guarded)
        else:
            response = await self._explain(Request(scope, receive), refusal)
            await response(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> RefusedError | None:
        host = headers.get("host", "")
        if host_name(host) not in self._hosts:
            todo = f"address it as {', '.join(sorted(self._hosts))}"
            return RefusedError(421, f"this server is not {host!r}", where="Host", todo=todo)
        if method in SAFE:
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        # "null" is the origin of sandboxed frames and of local files: never of a page of this server.
        foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
        if foreign or (site is not None and site not in _HERE):
            todo = "send it from a page of this server, or from a program without an Origin header"
            return RefusedError(403, "the request comes from a page of another site", where="Origin", todo=todo)
        return None


def _limited(receive: Receive) -> Receive:
    """Raises RefusedError once the body is larger than any request may be."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise RefusedError(413, f"the request's body is larger than {MAX_BODY_BYTES:,} bytes")
        return message

    return receive_limited


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets; empty where it is malformed (RFC 9110, section 7.2)."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""
