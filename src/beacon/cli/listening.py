"""Listening sockets of the processes that serve: on loopback, or anywhere once a key protects them."""

from __future__ import annotations

import errno
import ipaddress
import socket

from beacon.errors import InputError

TUNNEL = "use 127.0.0.1, and reach it from elsewhere through an SSH tunnel"


def listen(host: str, port: int, *, protected: bool = False, todo: str = TUNNEL) -> socket.socket:
    """A listening socket; raises InputError for a busy port, an unknown host, and any address but loopback.

    Where the server is `protected` by a key, any address is allowed; `todo` says what to do where it is not.
    """
    if not protected and not _is_loopback(host):
        what = f"{host} can be reached from other machines, and no authentication is configured"
        raise InputError(what, where="--host", todo=todo)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # From here on who connects is kept waiting, not refused, until the server is up.
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            todo = "end the program that uses it, or choose another with --port"
            raise InputError(f"port {port} is in use on {host}", where="--port", todo=todo) from error
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}", where="--host, --port") from error
    return listener


def address(listener: socket.socket) -> str:
    """Where a client finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
