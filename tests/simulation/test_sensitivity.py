"""A simulation that finds nothing proves something only if it finds what is there: bugs, planted one at a time."""

from __future__ import annotations

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.seeds import WITHIN, finding, known_seeds
from tests.simulation.simulate import simulate

KNOWN = known_seeds()


@pytest.mark.parametrize("name", list(BUGS))
def test_a_planted_bug_is_found_and_the_same_seed_is_clean_without_it(name: str) -> None:
    bug = BUGS[name]
    seed = finding(bug, first=KNOWN.get(name))
    assert seed is not None, f"{name} was not found in {WITHIN} seeds"
    assert simulate(seed, bug.favour).violations == ()
