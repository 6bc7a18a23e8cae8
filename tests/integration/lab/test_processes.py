"""The lab's processes: they start together, end together, and never outlive their parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import beacon
from beacon.domain.fleet import parse_fleet
from beacon.errors import DocumentError, ExitCode, InputError
from beacon.lab.fleet import open_lab, start_lab

PATH = str(Path(beacon.__file__).parent.parent)


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": PATH}


def refuses(url: str) -> bool:
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    with socket.socket() as connection:
        connection.settimeout(5)
        return connection.connect_ex((host, int(port))) != 0


def eventually(condition) -> bool:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


async def test_one_process_a_region_and_none_after_the_end():
    async with start_lab("instant") as lab:
        urls = [provider.url for provider in lab.fleet.providers]
        assert [provider.region for provider in lab.fleet.providers] == ["us", "eu", "apac"]
        assert len({process.pid for process in lab.processes} | {os.getpid()}) == 4
        assert not any(refuses(url) for url in urls)

    assert all(refuses(url) for url in urls)
    assert len(lab.ended()) == 3


def test_the_fleet_file_is_the_fleet():
    with open_lab("instant", regions=("Europe", "us")) as lab:
        fleet = parse_fleet(lab.fleet_yaml(), "fleet.yaml")
        assert fleet == lab.fleet

    eu = fleet.providers[0]
    assert (eu.name, eu.region, eu.transport, eu.simulated) == ("lab-eu", "eu", "openai", True)
    assert (eu.region_header, eu.upstream_header) == ("X-Region", "X-Upstream")
    assert eu.models["llama3.2-1b"] == "meta-llama/Llama-3.2-1B-Instruct"
    assert set(eu.models) == {"llama3.2-1b", "qwen2.5-1.5b", "mistral-7b"}


def test_the_processes_end_when_their_parent_is_killed():
    program = (
        "import json, sys, time\n"
        "from beacon.lab.fleet import open_lab\n"
        "with open_lab('instant', regions=('us', 'eu')) as lab:\n"
        "    print(json.dumps([provider.url for provider in lab.fleet.providers]), flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment())
    with parent:
        urls = json.loads(parent.stdout.readline())
        assert not any(refuses(url) for url in urls)
        parent.kill()

    assert eventually(lambda: all(refuses(url) for url in urls))


def test_a_process_that_was_killed_is_known_as_ended_and_the_others_serve_on():
    with open_lab("instant") as lab:
        victim = lab.processes[1]
        os.kill(victim.pid, signal.SIGKILL)

        assert eventually(lambda: lab.ended() == [victim])
        assert [refuses(process.url) for process in lab.processes] == [False, True, False]


def test_ctrl_c_at_a_terminal_does_not_reach_the_processes():
    with open_lab("instant", regions=("us",)) as lab:
        os.kill(lab.processes[0].pid, signal.SIGINT)
        assert not refuses(lab.fleet.providers[0].url)
        assert lab.ended() == []


def test_a_busy_port_is_refused_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError) as caught, open_lab("instant", regions=("us",), port=port):
            pass

    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert f"port {port} is in use" in caught.value.explain()
    assert "choose another port" in caught.value.explain()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"world": "moon"}, "there is no world 'moon'"),
        ({"regions": ("us", "US-East")}, "region 'us' stands twice"),
        ({"regions": ()}, "at least one region"),
        ({"port": 65_535}, "would pass 65535"),
        ({"api_key_env": "BEACON_LAB_NO_SUCH_KEY"}, "BEACON_LAB_NO_SUCH_KEY is not set"),
    ],
)
def test_bad_input_is_told_before_anything_runs(arguments, said):
    with pytest.raises(InputError) as caught, open_lab(**({"world": "instant"} | arguments)):
        pass

    assert said in caught.value.explain()


def test_a_bad_world_file_is_told_with_its_fault(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("schema: beacon.world/v1\nname: bad\nrules: [{latency: soon}]\n")
    with pytest.raises(DocumentError, match="not a duration"), open_lab(str(path)):
        pass


def test_a_provider_can_be_run_by_itself():
    command = [sys.executable, "-m", "beacon.lab.server", "--region", "us", "--world", "instant"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment()) as process:
        ready = json.loads(process.stdout.readline())
        assert ready["region"] == "us"
        assert not refuses(ready["url"])
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == b""


def test_run_by_itself_it_tells_a_person_what_is_wrong():
    command = [sys.executable, "-m", "beacon.lab.server", "--region", "us", "--world", "moon"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60, check=False)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no world 'moon'" in done.stderr
    assert "Traceback" not in done.stderr
