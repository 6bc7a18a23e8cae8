"""Who holds a lease, and whether that process still lives.

A dead owner on this host is known at once; one elsewhere is known by its lease running out.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

LEASE_S = 12.0
"""How long a lease holds without being renewed: a process that was killed or stands still is replaced after this time
and one look for work more, by default. `beacon worker --lease` gives a worker's leases another."""
RENEWALS = 4
"""A lease is renewed this often within the time that it holds."""


_ENDED = frozenset("ZX")


def new_owner() -> str:
    """This process as an owner: host, process id, the moment the process began, and a random part."""
    pid = os.getpid()
    return f"{socket.gethostname()}|{pid}|{_began(pid)}|{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """True only where it is certain: a process of this host that has ended, or whose id was given to another.

    One that was killed and whose parent has not asked for its end yet has ended too.
    """
    host, pid_text, began, _ = owner.split("|")
    if host != socket.gethostname():
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return began != _began(pid)


def _began(pid: int) -> str:
    """Clock ticks from boot to the process's start, as Linux tells them (proc(5)); empty elsewhere, and of a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in _ENDED else fields[19]
