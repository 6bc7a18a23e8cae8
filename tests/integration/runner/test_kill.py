"""`kill -9` at any moment: what was recorded stays, what was not is done again, nothing is sent twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from beacon.lab.fleet import start_lab

EXECUTIONS = 300
KILLS = 10


def write_fleet(lab, path: Path, **changes) -> None:
    """The lab's fleet, slowed down so that a job lasts long enough to be killed many times."""
    document = yaml.safe_load(lab.fleet_yaml())
    for provider in document["providers"]:
        provider.update(changes)
    path.write_text(yaml.safe_dump(document))


def write_spec(path: Path) -> None:
    spec = {
        "schema": "beacon.job/v1",
        "name": "To be killed",
        "questions": [{"id": f"q{n}", "text": f"What is {n} plus {n}?"} for n in range(10)],
        "models": ["llama3.2-1b", "mistral-7b"],
        "regions": ["us", "eu", "apac"],
        "repeats": 5,
        "seed": 11,
    }
    path.write_text(yaml.safe_dump(spec))


def beacon(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "BEACON_DATABASE_URL": f"sqlite:///{folder}/beacon.db"}
    command = [sys.executable, "-m", "beacon.cli.main", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def kill_soon(process: subprocess.Popen[str], delay: float) -> str:
    """Kills the process `delay` seconds after it named its job; returns the job's id."""
    assert process.stderr is not None
    job_id = process.stderr.readline().strip()
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return job_id


async def test_a_job_killed_ten_times_has_every_answer_once_and_no_key_was_sent_twice(tmp_path):
    rng = random.Random(20260)
    async with start_lab() as lab:
        write_fleet(lab, tmp_path / "fleet.yaml", concurrency=3)
        write_spec(tmp_path / "spec.yaml")
        job_id = kill_soon(beacon(tmp_path, "run", "spec.yaml", "--json"), rng.uniform(0.1, 0.6))
        for _ in range(KILLS - 1):
            kill_soon(beacon(tmp_path, "run", "--resume", job_id, "--json"), rng.uniform(0.05, 0.6))
        last = beacon(tmp_path, "run", "--resume", job_id, "--json")
        output, errors = last.communicate(timeout=120)
        assert last.returncode == 0, errors
        counts = json.loads(output)["counts"]
        assert counts == {"total": EXECUTIONS, "completed": EXECUTIONS, "failed": 0, "timed_out": 0, "cancelled": 0}
        sent = await lab.key_counts()
    assert max(sent.values()) == 1
    answered = {key.rpartition(".")[0] for key in sent}
    assert len(answered) == EXECUTIONS
