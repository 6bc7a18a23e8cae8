"""A simulation that finds nothing proves something only if it finds what is there: bugs, planted one at a time."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.simulation.bugs import BUGS
from tests.simulation.simulate import kind_of, simulate

WITHIN = 80
"""Seeds in which a planted bug must be found."""
KNOWN = {
    "another_region_taken_for_the_one_that_was_asked": 1,
    "earlier_answer_not_looked_for_in_a_takeover": 110,
    "attempts_are_not_fenced": 16,
    "late_answer_of_a_cancelled_job_lost": 1,
    "provider_of_the_last_attempt_forgotten": 0,
    "redirect_taken_as_an_empty_success": 0,
    "reopened_shard_counted_as_done": 0,
    "result_of_another_key_accepted": 10,
    "result_recorded_over_an_earlier_end": 2,
    "slot_of_a_cancelled_attempt_kept": 20,
    "transport_error_taken_as_a_verdict": 34,
    "two_finalizers_at_once": 3,
}
"""A seed that finds it, tried first; where behaviour changed since, the search goes on."""


def _seeds(name: str) -> Iterable[int]:
    return [KNOWN[name], *range(WITHIN - 1)] if name in KNOWN else range(WITHIN)


@pytest.mark.parametrize("name", list(BUGS))
def test_a_planted_bug_is_found_and_the_same_seed_is_clean_without_it(name: str) -> None:
    bug = BUGS[name]
    for seed in _seeds(name):
        with bug.planted():
            found = {kind_of(violation) for violation in simulate(seed, zombies=bug.zombies).violations}
        if found & set(bug.kinds):
            assert simulate(seed, zombies=bug.zombies).violations == ()
            return
    pytest.fail(f"{name} was not found in {WITHIN} seeds")
