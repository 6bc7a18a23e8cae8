"""A database that is away for longer than leases hold costs no answer; what was committed unheard is not done twice."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from beacon.runner import recorder
from beacon.store.group import record_group
from tests.simulation.absence import simulate_absence

FIXED = (1, 2, 3, 4)
WITHIN = 20


@pytest.mark.parametrize("seed", FIXED)
def test_nothing_is_lost_where_the_database_is_away(seed: int) -> None:
    assert simulate_absence(seed) == ()


def test_nothing_is_lost_in_a_fresh_seed() -> None:
    seed = random.SystemRandom().randrange(10**9)
    assert simulate_absence(seed) == (), f"the seed is {seed}"


def test_a_commit_that_is_taken_for_done_without_a_look_is_found() -> None:
    def believing(connection: Any, job_id: str, starts: Any, finishes: Any, now: float, noted: Any = ()) -> Any:
        did = record_group(connection, job_id, (), (), now, noted)
        return replace(did, moved=frozenset(finish.execution_id for finish in finishes))

    with patch.object(recorder, "record_again", believing):
        assert any(simulate_absence(seed) for seed in range(WITHIN))
