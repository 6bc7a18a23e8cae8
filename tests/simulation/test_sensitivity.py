"""A simulation that finds nothing proves something only if it finds what is there: bugs, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.simulate import kind_of, simulate

WITHIN = 80
"""Seeds in which a planted bug must be found."""
KNOWN: dict[str, int] = {}
"""A seed that finds it, tried first; where behaviour changed since, the search goes on."""


def _seeds(name: str) -> Iterable[int]:
    return [KNOWN[name], *range(WITHIN - 1)] if name in KNOWN else range(WITHIN)


@pytest.mark.parametrize("name", list(BUGS))
def test_a_planted_bug_is_found_and_the_same_seed_is_clean_without_it(name: str) -> None:
    bug = BUGS[name]
    for seed in _seeds(name):
        with bug.planted():
            found = {kind_of(violation) for violation in simulate(seed).violations}
        if found & set(bug.kinds):
            assert simulate(seed).violations == ()
            return
    pytest.fail(f"{name} was not found in {WITHIN} seeds")
