"""What is held against a provider, and for how long it is left out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.router.ejection import (
    AT_LEAST,
    FIRST_S,
    IN_A_ROW,
    JITTER,
    LONGEST_S,
    WINDOW_S,
    Ejection,
    most_ejected,
    speaks_of_provider,
)


def failing(kind: FailureKind, status: int | None = None, **more) -> Failure:
    return Failure(kind, Stage.INFERENCE, "it failed", retryable=True, http_status=status, **more)


@pytest.mark.parametrize(
    ("failure", "speaks"),
    [
        (failing(FailureKind.REFUSED_CONNECTION), True),
        (failing(FailureKind.OUTCOME_UNKNOWN), True),
        (failing(FailureKind.PROTOCOL_ERROR), True),
        (failing(FailureKind.DEADLINE_EXPIRED), True),
        (failing(FailureKind.REGION_MISMATCH), True),
        (failing(FailureKind.PROVIDER_ERROR, 500), True),
        (failing(FailureKind.PROVIDER_ERROR, 503), True),
        (failing(FailureKind.PROVIDER_ERROR), True),  # an error event in a stream
        (failing(FailureKind.PROVIDER_ERROR, 401), True),
        (failing(FailureKind.PROVIDER_ERROR, 503, retry_after_s=3.0), False),
        (failing(FailureKind.PROVIDER_ERROR, 503, counts=False), False),
        (failing(FailureKind.PROVIDER_ERROR, 400), False),
        (failing(FailureKind.PROVIDER_ERROR, 422), False),
        (failing(FailureKind.RATE_LIMITED, 429), False),
        (failing(FailureKind.COLD_START_EXPIRED), False),
        (failing(FailureKind.CANCELLED), False),
    ],
)
def test_only_what_speaks_of_the_provider_counts(failure: Failure, speaks: bool) -> None:
    assert speaks_of_provider(failure) is speaks


def test_five_in_a_row_of_two_requests_eject_and_an_answer_between_does_not() -> None:
    ejection = Ejection(random.Random(1))
    for number in range(IN_A_ROW - 1):
        assert ejection.failed(number, 1.0, 1.0) is None
    ejection.answered(1.0, 1.0)
    for number in range(IN_A_ROW - 1):
        assert ejection.failed(number, 1.0, 1.0) is None
    assert ejection.failed("another", 1.0, 1.0) == "5 failures in a row"


def test_one_request_ejects_nobody() -> None:
    ejection = Ejection(random.Random(1))
    assert all(ejection.failed("the same", 1.0, 1.0) is None for _ in range(100))


def test_a_share_of_failures_ejects_within_its_window_only() -> None:
    ejection = Ejection(random.Random(1))
    for number in range(AT_LEAST - 2):
        now = 0.1 * number
        if number % 2:
            assert ejection.failed(number, now, now) is None
        else:
            ejection.answered(now, now)
    later = 2 * WINDOW_S
    assert ejection.failed("a", later, later) is None  # what was before is forgotten
    ejection = Ejection(random.Random(1))
    why = None
    for number in range(AT_LEAST):
        ejection.answered(1.0, 1.0)
        why = why or ejection.failed(number, 1.0, 1.0)
    assert why == "10 of 20 requests failed in 30 s"


def test_what_was_sent_before_an_ejection_changes_nothing() -> None:
    ejection = Ejection(random.Random(1))
    ejection.eject("a reason", 10.0)
    assert all(ejection.failed(number, 9.0, 11.0) is None for number in range(20))
    assert not ejection.answered(9.0, 11.0)
    ejection.try_again(30.0)
    assert not ejection.answered(29.0, 31.0)
    assert ejection.on_trial
    assert ejection.answered(31.0, 32.0)
    assert not ejection.out


def test_a_failure_on_trial_ejects_for_twice_as_long_and_long_health_is_remembered() -> None:
    ejection = Ejection(random.Random(1))
    assert ejection.eject("a reason", 0.0) == pytest.approx(FIRST_S, rel=JITTER)
    ejection.try_again(12.0)
    assert ejection.failed("x", 13.0, 13.0) == "it failed on trial"
    assert ejection.eject("it failed on trial", 13.0) == pytest.approx(2 * FIRST_S, rel=JITTER)
    ejection.try_again(40.0)
    ejection.answered(41.0, 42.0)
    assert ejection.eject("again", 50.0) == pytest.approx(4 * FIRST_S, rel=JITTER)
    ejection.try_again(100.0)
    ejection.answered(101.0, 102.0)
    assert ejection.eject("much later", 103.0 + LONGEST_S) == pytest.approx(FIRST_S, rel=JITTER)


@given(st.integers(0, 100), st.integers(0, 30))
def test_an_ejection_never_lasts_longer_than_the_longest(seed: int, times: int) -> None:
    ejection = Ejection(random.Random(seed))
    assert all(0 < ejection.eject("a reason", 0.0) <= LONGEST_S for _ in range(times + 1))


@given(st.integers(1, 1000))
def test_a_cell_always_keeps_a_third(providers: int) -> None:
    assert 0 <= most_ejected(providers) < providers
    assert providers - most_ejected(providers) >= providers / 3
