"""The gateway over HTTP: one ASGI application.

No header of a client goes to a provider, and none of a provider to a client: each side is told what Beacon itself has
to say, so nothing hop-by-hop, and nothing that somebody made up, can pass.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, unquote, urlsplit

from starlette.types import Receive, Scope, Send

from beacon.domain.failure import FailureKind
from beacon.domain.mailbox import MailboxEntry
from beacon.gateway.about import About
from beacon.gateway.asking import ClientGone, Headers, read_body, read_headers
from beacon.gateway.chat import Chat
from beacon.gateway.keys import Keys
from beacon.gateway.metrics import CONTENT_TYPE, Metrics
from beacon.gateway.refusal import Refused
from beacon.gateway.reply import JSON, Pairs
from beacon.mailbox.mailbox import Mailbox, OtherBodyError
from beacon.mailbox.reading import other_body, read_attempt, read_key, read_submission, read_wait, unknown
from beacon.mailbox.worker import UnservedError, unserved

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CHAT = "/v1/chat/completions"
MAILBOX = "/v1/inferences/"
PROVIDERS = "/v1/providers/"
_OPEN = frozenset({"/healthz", "/readyz"})
_ONE = b'{"status": "ok"}'
Get = Callable[[Headers], Awaitable[tuple[int, Pairs, bytes]]]


class Gateway:
    """`keys` are those that may ask; without any, only programs of this machine are served, and no web page."""

    def __init__(self, chat: Chat, mailbox: Mailbox, about: About, metrics: Metrics, keys: Keys) -> None:
        self._chat = chat
        self._mailbox = mailbox
        self._metrics = metrics
        self._about = about
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises nothing for what a client, a provider or a disk does."""
        if scope["type"] != "http":
            return
        try:
            headers = read_headers(scope["headers"])
            path: str = scope["path"]
            if path not in _OPEN:
                self._admit(headers)
            if path == CHAT and scope["method"] == "POST":
                await self._chat.answer(headers, receive, send)
            elif path.startswith(PROVIDERS) and scope["method"] == "POST":
                await _respond(send, *await self._look(path, scope))
            elif path.startswith(MAILBOX):
                await _respond(send, *await self._serve_mailbox(scope, headers, receive))
            else:
                await _respond(send, *await self._tell(scope, headers))
        except Refused as refused:
            self._metrics.refuse(str(refused.error["code"]))
            await _respond(send, refused.status, refused.headers(), refused.document)
        except UnservedError as error:
            await _respond(send, *_unserved(error))
        except ClientGone:
            pass

    def _admit(self, headers: Headers) -> None:
        """Raises Refused for who has no key; where there are none, for web pages, by whatever name they come."""
        if self._keys:
            if not self._keys.accept(headers.get(b"authorization", b"")):
                raise Refused(401, "a bearer key of this gateway is needed", code="unauthorised")
            return
        host = headers.get(b"host", b"").decode("latin-1")
        if _host_name(host) not in LOOPBACK:
            what = f"this gateway has no keys and serves this machine alone, not as {host[:100]!r}"
            raise Refused(421, what, code="foreign_host")
        if b"origin" in headers:
            raise Refused(403, "a gateway without keys serves no web pages; configure a key", code="foreign_origin")

    async def _serve_mailbox(self, scope: Scope, headers: Headers, receive: Receive) -> tuple[int, Pairs, bytes]:
        """PUT: 202 accepted, 200 known already, 409 another body under this key, 422 not served, 429 no room."""
        key = read_key(unquote(scope["path"].removeprefix(MAILBOX)))
        try:
            match scope["method"]:
                case "PUT":
                    submission = read_submission(await read_body(receive))
                    attempt = read_attempt(headers.get(b"x-beacon-attempt", b"").decode("latin-1"))
                    # A client that goes away must not leave accepted work without anyone who does it.
                    new = await asyncio.shield(self._mailbox.submit(key, submission, attempt))
                    return _entry(await self._mailbox.read(key), key, 202 if new else 200)
                case "GET":
                    given = parse_qs(scope["query_string"].decode("latin-1")).get("wait", ["0"])[-1]
                    return _entry(await self._mailbox.read(key, read_wait(given)), key, 200)
                case "DELETE":
                    return _entry(await asyncio.shield(self._mailbox.cancel(key)), key, 200)
                case _:
                    raise Refused(405, "an inference takes PUT, GET and DELETE", code="bad_method")
        except OtherBodyError:
            raise other_body() from None
        except sqlite3.Error as error:
            what = f"the state file cannot be used: {error}"
            raise unserved(FailureKind.PROVIDER_ERROR, what, status=503) from error

    async def _look(self, path: str, scope: Scope) -> tuple[int, Pairs, bytes]:
        """`POST /v1/providers/{name}/look?within=SECONDS`: one control call, which may wake the provider."""
        name, _, act = path.removeprefix(PROVIDERS).rpartition("/")
        within = parse_qs(scope["query_string"].decode("latin-1")).get("within", ["10"])[-1]
        looked = await self._about.look(unquote(name), read_wait(within)) if act == "look" else None
        if looked is None:
            raise Refused(404, _no_such(path), code="not_found")
        return 200, [JSON], json.dumps(looked).encode()

    async def _tell(self, scope: Scope, headers: Headers) -> tuple[int, Pairs, bytes]:
        path, about = scope["path"], self._about
        if scope["method"] not in {"GET", "HEAD"}:
            raise Refused(405 if path in about.paths or path == CHAT else 404, _no_such(path), code="not_found")
        if path == CHAT:
            raise Refused(405, f"{CHAT} takes POST", code="bad_method")
        if path == "/healthz":
            return 200, [JSON], _ONE
        if path == "/metrics":
            return 200, [(b"content-type", CONTENT_TYPE.encode())], self._metrics.text()
        told = about.tell(path, headers)
        if told is None:
            raise Refused(404, _no_such(path), code="not_found")
        status, document = told
        return status, [JSON], json.dumps(document).encode()


def _no_such(path: str) -> str:
    return f"there is no {path[:100]!r} here: see {CHAT}, /v1/models, {MAILBOX}KEY, /providers, /metrics"


def _entry(entry: MailboxEntry | None, key: str, status: int) -> tuple[int, Pairs, bytes]:
    if entry is None:
        raise unknown(key)
    # ASCII, so that a half of a surrogate pair that a model wrote travels as an escape.
    return status, [JSON], json.dumps(entry.model_dump(mode="python")).encode()


def _unserved(error: UnservedError) -> tuple[int, Pairs, bytes]:
    fault = error.fault
    headers = [JSON]
    if fault.retry_after_s is not None:
        headers.append((b"retry-after", f"{fault.retry_after_s:.0f}".encode()))
    return error.status, headers, json.dumps({"error": fault.model_dump(exclude_none=True)}).encode()


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _respond(send: Send, status: int, headers: Pairs, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
