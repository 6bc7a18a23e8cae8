"""`run_lab`: the lab in the foreground."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

import beacon
from beacon.domain.fleet import parse_fleet
from beacon.errors import InputError
from beacon.lab.command import run_lab

PROGRAM = """
import sys
from pathlib import Path
from beacon.lab.command import run_lab
sys.exit(run_lab("instant", regions=("us", "apac"), seed=3, write_fleet=Path(sys.argv[1])))
"""


@pytest.fixture
def foreground(tmp_path):
    """A lab run in the foreground by a process of its own, once its fleet file is there."""
    fleet = tmp_path / "fleet.yaml"
    environment = os.environ | {"PYTHONPATH": str(Path(beacon.__file__).parent.parent)}
    command = [sys.executable, "-c", PROGRAM, str(fleet)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        until = time.monotonic() + 60
        while not fleet.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        yield process, fleet
        process.kill()


def test_it_says_where_it_is_writes_its_fleet_and_stops_on_ctrl_c(foreground):
    process, path = foreground
    fleet = parse_fleet(path.read_text(), "fleet.yaml")
    told = [process.stderr.readline() for _ in range(5)]
    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130
    assert "all of it simulated" in told[0]
    assert fleet.regions == ("us", "apac")
    for provider, line in zip(fleet.providers, told[1:3], strict=True):
        assert provider.url in line
    assert "Traceback" not in process.stderr.read()


def test_it_says_when_one_of_its_processes_died(foreground):
    process, path = foreground
    url = parse_fleet(path.read_text(), "fleet.yaml").providers[0].url
    with urlopen(url.removesuffix("/v1") + "/lab/stats") as response:
        pid = json.load(response)["pid"]
    os.kill(pid, signal.SIGKILL)

    assert process.wait(20) == 1
    assert "ended unexpectedly" in process.stderr.read()


def test_a_fleet_file_of_someone_else_is_not_overwritten(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text("schema: beacon.fleet/v1\n")
    with pytest.raises(InputError, match="not written by beacon lab"):
        run_lab("instant", write_fleet=path)

    assert path.read_text() == "schema: beacon.fleet/v1\n"
