"""The fleet of a gateway, for a runner that uses it in place of a router of its own (`BEACON_GATEWAY_URL`)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from beacon.cli.settings import GATEWAY_VARIABLE
from beacon.domain.document import MAX_DOCUMENT_BYTES, decode, parse_text, validate
from beacon.domain.fleet import Fleet
from beacon.errors import InputError, UnavailableError
from beacon.router.transports.exchange import reason

KEY_VARIABLE = "BEACON_GATEWAY_KEY"
PATIENCE_S = 10.0
"""How long a gateway is given to tell its fleet; no inference waits for it."""


async def gateway_fleet(url: str, environ: Mapping[str, str]) -> Fleet:
    """Its providers by name, each to be reached through it. Raises InputError, DocumentError, UnavailableError."""
    base = _base(url)
    key = environ.get(KEY_VARIABLE, "").strip()
    source = f"{base}/v1/fleet"
    text = await _read(source, {"Authorization": f"Bearer {key}"} if key else {})
    told = parse_text(text, source)
    providers = told.get("providers") if isinstance(told, dict) else None
    if not isinstance(providers, list):
        raise UnavailableError("what answered is no gateway", where=base, todo=f"check {GATEWAY_VARIABLE}")
    through = {"url": f"{base}/v1", **({"api_key_env": KEY_VARIABLE} if key else {})}
    reached = [{**each, **through} if isinstance(each, dict) else each for each in providers]
    return validate(Fleet, {**told, "providers": reached}, source)


async def _read(url: str, headers: Mapping[str, str]) -> str:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S), trust_env=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.content.read(MAX_DOCUMENT_BYTES)
            status = response.status
    except TimeoutError:
        what = f"the gateway did not answer within {PATIENCE_S:g} s"
        raise UnavailableError(what, where=url, todo=f"check {GATEWAY_VARIABLE}") from None
    except (aiohttp.ClientError, HttpProcessingError) as error:
        what = f"the gateway could not be reached: {reason(error)}"
        raise UnavailableError(
            what, where=url, todo=f"start it with `beacon gateway`, or check {GATEWAY_VARIABLE}"
        ) from None
    if status == 401:
        raise InputError("the gateway does not take the key", where=KEY_VARIABLE, todo="set it to one of its keys")
    if status != 200:
        raise UnavailableError(f"the gateway answered HTTP {status}", where=url, todo=f"check {GATEWAY_VARIABLE}")
    return decode(body, url)


def _base(url: str) -> str:
    """Without a slash at its end, and without /v1, with which it may be written too."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or "@" in parts.netloc:
        todo = "write for example http://127.0.0.1:8200"
        raise InputError("not an http(s) address without credentials or query", where=GATEWAY_VARIABLE, todo=todo)
    return url.rstrip("/").removesuffix("/v1")
