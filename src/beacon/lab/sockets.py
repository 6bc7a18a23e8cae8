"""Endings of TCP connections that HTTP servers do not offer."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

_LINGER_ZERO = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport | None) -> None:
    """Ends the connection with a TCP reset: what was not yet read at the other end is lost."""
    if transport is None or transport.is_closing():
        return
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
