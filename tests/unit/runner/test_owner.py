"""Who is known to be dead: only those of this host that have ended, whoever has noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

from beacon.runner.owner import is_dead, new_owner


def owner_of(pid: int, began: str) -> str:
    return f"{socket.gethostname()}|{pid}|{began}|0"


def began(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[19]


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_this_process_lives():
    assert not is_dead(new_owner())


def test_a_process_that_was_killed_is_dead_though_its_parent_has_not_noticed():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = owner_of(child.pid, began(child.pid))
    try:
        assert not is_dead(owner)
        child.send_signal(signal.SIGSTOP)
        assert not is_dead(owner)
        os.kill(child.pid, signal.SIGKILL)
        until = time.monotonic() + 20
        while state(child.pid) != "Z" and time.monotonic() < until:
            os.sched_yield()
        assert is_dead(owner)
    finally:
        child.kill()
        child.wait()
    assert is_dead(owner)


def test_another_process_of_the_same_number_does_not_stand_for_it():
    assert is_dead(owner_of(os.getpid(), "1"))


def test_of_another_host_nothing_is_certain():
    assert not is_dead("elsewhere|1|1|0")
