"""Whether an address can be reached: its name, a connection, its certificate. Nothing is sent over it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from urllib.parse import urlsplit

from beacon.domain.check import Check, error, ok, warning

CERTIFICATE_DAYS = 14
"""A certificate that ends sooner is warned of."""
_ABOUT = "connection"


async def resolve(url: str) -> Check:
    """Its name alone, for those whom a connection might wake."""
    host, port = _place(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return _no_name(host)
    return ok(_ABOUT, f"{host} is known ({found[0][4][0]}); not connected, since that might wake it")


async def connect(url: str, within_s: float) -> Check:
    """Name, connection, and certificate where the address has one, given up after `within_s`."""
    host, port = _place(url)
    secure = urlsplit(url).scheme == "https"
    at, began = f"{host}:{port}", time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context() if secure else None)
    except TimeoutError:
        return error(_ABOUT, f"{at} did not answer within {within_s:g} s", _FIREWALL, unreachable=True)
    except (socket.gaierror, UnicodeError):
        return _no_name(host)
    except ssl.SSLCertVerificationError as fault:
        what = f"the certificate of {at} is not trusted: {fault.verify_message}"
        return error(_ABOUT, what, "correct the url, or have its certificate renewed", unreachable=True)
    except ssl.SSLError as fault:
        what = f"{at} speaks no TLS that is understood: {fault.reason or 'handshake failed'}"
        return error(_ABOUT, what, "check whether its url begins with http or https", unreachable=True)
    except OSError as fault:
        why = os.strerror(fault.errno).lower() if fault.errno else "no connection"
        return error(_ABOUT, f"{at}: {why}", "check that it runs and that its url is right", unreachable=True)
    took_ms = 1000 * (time.monotonic() - began)
    left = _certificate_days(writer)
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    if left is not None and left < CERTIFICATE_DAYS:
        return warning(_ABOUT, f"the certificate of {at} ends in {max(0.0, left):.0f} days", "have it renewed")
    over = "without TLS" if not secure else f"over TLS, certificate for {left:.0f} days" if left else "over TLS"
    return ok(_ABOUT, f"{at} connects in {took_ms:.0f} ms, {over}")


_FIREWALL = "check its address, and whether a firewall stands between"


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _no_name(host: str) -> Check:
    return error(_ABOUT, f"the name {host} was not found", "check the url in the fleet and the DNS", unreachable=True)


def _certificate_days(writer: asyncio.StreamWriter) -> float | None:
    certificate = writer.get_extra_info("peercert")
    if not certificate:
        return None
    return (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
