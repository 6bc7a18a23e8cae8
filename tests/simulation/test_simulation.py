"""The simulation finds nothing wrong, in fixed seeds and in fresh ones; and one seed is one history."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from tests.simulation.simulate import FAVOURED, history, simulate

FIXED = (2, 3, 4, 5)
FRESH = 3


@pytest.mark.parametrize("seed", FIXED)
def test_nothing_is_lost_in_fixed_seeds(seed: int) -> None:
    assert simulate(seed).violations == ()


def test_nothing_is_lost_in_fresh_seeds() -> None:
    for _ in range(FRESH):
        seed = random.SystemRandom().randrange(10**9)
        assert simulate(seed).violations == (), f"again, alone, with its history: make simulate SEED={seed}"


@pytest.mark.parametrize("favour", sorted(FAVOURED.values()))
def test_nothing_is_lost_where_one_trouble_comes_for_certain(favour: str) -> None:
    assert simulate(9, favour).violations == ()


def test_a_seed_has_at_least_six_executions_a_job() -> None:
    outcome = simulate(3)
    assert outcome.executions >= 6 * outcome.jobs


def _digest(seed: int) -> str:
    told, _ = history(seed)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def test_one_seed_is_one_history() -> None:
    assert _digest(5) == _digest(5)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_one_seed_is_one_history_in_every_process(hash_seed: str) -> None:
    code = "from tests.simulation.test_simulation import _digest; print(_digest(4))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == _digest(4)
