"""Rate limits, concurrency caps and cold starts, on a clock of the test's own."""

from __future__ import annotations

import pytest

from beacon.lab.station import Station, TurnedAway
from beacon.lab.world import ColdStart, Limit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def status(entered) -> int:
    return entered.status if isinstance(entered, TurnedAway) else 200


def test_a_rate_lets_its_burst_through_and_then_as_many_as_it_says(clock):
    station = Station(Limit(requests_per_second=2, burst=3), None, clock)

    assert [status(station.enter()) for _ in range(5)] == [200, 200, 200, 429, 429]
    clock.now += 1.0
    assert [status(station.enter()) for _ in range(3)] == [200, 200, 429]


def test_a_refused_request_is_told_when_to_come_back_where_the_provider_says_so(clock):
    told = Station(Limit(requests_per_second=0.25, burst=1), None, clock)
    silent = Station(Limit(requests_per_second=0.25, burst=1, retry_after=False), None, clock)
    told.enter(), silent.enter()

    assert told.enter() == TurnedAway(429, "more than 0.25 requests per second", 4)
    assert silent.enter() == TurnedAway(429, "more than 0.25 requests per second", None)


def test_a_cap_counts_requests_in_flight(clock):
    station = Station(Limit(concurrency=2), None, clock)

    assert [status(station.enter()) for _ in range(3)] == [200, 200, 429]
    station.leave()
    assert status(station.enter()) == 200


def test_the_first_request_wakes_a_cold_model_and_all_wait_for_the_same_moment(clock):
    station = Station(None, ColdStart(seconds=10, idle=60), clock)

    assert station.enter() == 10
    clock.now += 4
    assert station.enter() == 6
    clock.now += 7
    assert station.enter() == 0


def test_a_model_that_answers_503_while_it_wakes_counts_down(clock):
    station = Station(None, ColdStart(seconds=10, meanwhile="503"), clock)

    assert station.enter() == TurnedAway(503, "the model is loading (cold start)", 10)
    clock.now += 9.5
    assert station.enter() == TurnedAway(503, "the model is loading (cold start)", 1)
    clock.now += 0.5
    assert station.enter() == 0


def test_an_idle_model_falls_asleep_but_not_while_it_answers(clock):
    station = Station(None, ColdStart(seconds=10, idle=60), clock)
    station.enter()
    clock.now += 500
    assert station.enter() == 0
    station.leave(), station.leave()
    clock.now += 59
    assert station.enter() == 0
    station.leave()
    clock.now += 61
    assert station.enter() == 10
