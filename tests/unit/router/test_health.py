"""Health learnt from outcomes on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable

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


def test_a_container_that_a_control_call_woke_is_open_and_not_yet_known_to_be_warm() -> None:
    health = Health(cold_start_s=60)
    health.wake(100)
    assert (health.state(130), health.at_once(), health.expected_at) == (ProviderState.WARMING, 0, 160)
    health.woken(140)
    assert (health.state(141), health.at_once(), health.expected_at) == (ProviderState.WARMING, None, None)
    assert health.may_be_cold(141)
    call(health, ANSWER, 141, 142)
    assert health.state(142) is ProviderState.WARM
    assert not health.may_be_cold(142)


def test_one_request_at_a_time_tries_what_is_still_starting() -> None:
    health = Health(cold_start_s=60)
    call(health, refusal(503), 100, 101)
    assert health.at_once() == 1
    health.wake(102)
    health.not_woken(165, "it did not wake", starting=True)
    assert (health.state(165), health.at_once(), health.last_failure) == (ProviderState.COLD, 1, "it did not wake")
    call(health, ANSWER, 166, 167)
    assert health.at_once() is None


def test_a_control_call_that_tells_nothing_leaves_it_to_real_requests() -> None:
    health = Health(cold_start_s=60)
    health.wake(100)
    health.not_woken(101, "it was refused", starting=False)
    assert (health.state(101), health.at_once()) == (ProviderState.UNKNOWN, None)


def test_nothing_is_known_of_a_provider_that_has_been_idle_whatever_it_was() -> None:
    learnt: list[Callable[[Health], None]] = [
        lambda health: health.woken(100),
        lambda health: call(health, refusal(503), 99, 100),
        lambda health: call(health, ANSWER, 99, 100),
    ]
    for known in learnt:
        health = Health(cold_start_s=10)
        known(health)
        assert health.state(100) is not ProviderState.UNKNOWN
        assert health.state(101 + KNOWN_WARM_S) is ProviderState.UNKNOWN


def test_a_control_call_keeps_what_is_warm_warm_and_proves_nothing_later() -> None:
    health = Health(cold_start_s=60)
    call(health, ANSWER, 100, 101)
    health.woken(150)
    assert health.state(200) is ProviderState.WARM
    health.woken(300)
    assert health.state(301) is ProviderState.WARMING
