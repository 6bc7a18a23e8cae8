"""Real worker processes, killed and stopped."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from beacon.runner.worker import SWEEP_S
from benchmarks.chaos import Plan, chaos, told


@pytest.mark.slow
@pytest.mark.timeout(3600)  # it is stuck, and says so, when nothing moves any more
async def test_workers_killed_and_stopped_lose_nothing_and_double_nothing(postgres_url, tmp_path):
    plan = Plan(kills=5, workers=3, stop_s=15.0, stop_every=3, repeats=2)
    outcome = await chaos(plan, postgres_url, tmp_path)
    assert outcome.sound, told(outcome)
    assert outcome.executions > 0


def beacon(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beacon.cli.main", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_worker_without_postgresql_says_what_to_do(tmp_path):
    refused = beacon("worker", "--database", str(tmp_path / "beacon.db"), "--fleet", "lab")
    assert refused.returncode == 2
    assert "workers need a PostgreSQL database" in refused.stderr


def test_doctor_warns_where_no_worker_lives(postgres_url, tmp_path):
    (tmp_path / "fleet.yaml").write_text(
        "schema: beacon.fleet/v1\nproviders:\n"
        "  - {name: us-a, region: us, transport: openai, url: 'http://127.0.0.1:1/v1', models: [m]}\n"
    )
    said = beacon("doctor", "--fleet", str(tmp_path / "fleet.yaml"), BEACON_DATABASE_URL=postgres_url)
    assert "no worker is alive" in said.stdout


def test_the_takeover_that_is_promised_is_the_one_that_is_set():
    from beacon.runner.owner import LEASE_S

    assert LEASE_S + SWEEP_S < 15.0
