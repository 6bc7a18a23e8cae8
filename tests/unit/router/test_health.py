"""Health learnt from outcomes on a clock of the test's own."""

from __future__ import annotations

from beacon.domain.answer import Answer
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.router.health import KNOWN_WARM_S, Health, ProviderState

ANSWER = Answer(
    text="Hello",
    finish_reason="stop",
    provider="a",
    model_echoed=None,
    region_stated=None,
    region_evidence="declared",
    upstream=None,
    input_tokens=None,
    output_tokens=None,
    cost_usd=None,
    simulated=False,
    replayed=False,
    started_at=0.0,
    first_token_at=None,
    finished_at=1.0,
    duration_ms=1000.0,
)


def refusal(status: int) -> Failure:
    message = f"answered HTTP {status}"
    return Failure(FailureKind.PROVIDER_ERROR, Stage.INFERENCE, message, retryable=True, http_status=status)


def call(health: Health, outcome: Answer | Failure, began: float, ended: float) -> None:
    health.begin(began)
    health.end(ended)
    health.learn(outcome, ended)


def test_nothing_is_known_at_first() -> None:
    health = Health(cold_start_s=60)
    assert health.state(0) is ProviderState.UNKNOWN
    assert health.may_be_cold(0)
    assert not Health(cold_start_s=0).may_be_cold(0)


def test_a_success_proves_it_warm_until_it_has_idled() -> None:
    health = Health(cold_start_s=60)
    call(health, ANSWER, 100, 101)
    assert health.state(101 + KNOWN_WARM_S) is ProviderState.WARM
    assert not health.may_be_cold(101)
    assert health.state(102 + KNOWN_WARM_S) is ProviderState.UNKNOWN
    assert health.may_be_cold(102 + KNOWN_WARM_S)


def test_a_provider_that_is_busy_stays_warm() -> None:
    health = Health(cold_start_s=60)
    call(health, ANSWER, 100, 101)
    health.begin(110)
    assert health.state(110 + 10 * KNOWN_WARM_S) is ProviderState.WARM


def test_a_request_after_a_long_idle_time_proves_nothing_by_being_under_way() -> None:
    health = Health(cold_start_s=60)
    call(health, ANSWER, 100, 101)
    health.begin(1000)
    assert health.state(1001) is ProviderState.UNKNOWN
    assert health.may_be_cold(1001)


def test_starting_from_cold() -> None:
    health = Health(cold_start_s=60)
    call(health, refusal(503), 100, 101)
    assert health.state(101) is ProviderState.WARMING
    call(health, refusal(503), 150, 151)  # does not begin the start anew
    assert health.state(161) is ProviderState.WARMING
    assert health.state(162) is ProviderState.COLD
    call(health, refusal(503), 170, 171)
    assert health.state(171) is ProviderState.WARMING
    call(health, ANSWER, 172, 173)
    assert health.state(173) is ProviderState.WARM
    assert health.last_failure == "answered HTTP 503"


def test_a_warm_provider_that_says_503_has_gone_cold_only_if_it_can() -> None:
    for cold_start_s, state in ((60, ProviderState.WARMING), (0, ProviderState.WARM)):
        health = Health(cold_start_s)
        call(health, ANSWER, 100, 101)
        call(health, refusal(503), 102, 103)
        assert health.state(103) is state


def test_other_errors_say_nothing_of_warmth() -> None:
    health = Health(cold_start_s=60)
    call(health, refusal(500), 100, 101)
    assert health.state(101) is ProviderState.UNKNOWN
    call(health, ANSWER, 102, 103)
    call(health, refusal(429), 104, 105)
    assert health.state(105) is ProviderState.WARM
