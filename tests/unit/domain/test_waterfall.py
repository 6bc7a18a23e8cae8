"""Where the time of an execution went, from the moments and stages of its attempts."""

from __future__ import annotations

from beacon.domain.waterfall import AttemptTimes, Span, waterfall

FAILED = AttemptTimes(1, "failed", "cold_start", 105.0, {"cold_start": 2000.0, "route": 500.0, "connect": 500.0})
ANSWERED = AttemptTimes(2, "answered", None, 110.0, {"inference": 4000.0, "route": 0.0})


def test_nothing_is_drawn_where_nothing_was_recorded():
    assert waterfall(100.0, []) is None
    assert waterfall(100.0, [AttemptTimes(1, "interrupted", None, 105.0, {})]) is None


def test_stages_stand_in_the_order_of_the_way_between_the_queue_and_the_record():
    told = waterfall(100.0, [FAILED, ANSWERED], persisted_at=110.25)
    assert told is not None
    first, second = told.attempts
    assert first.spans == (
        Span("queue", 0.0, 2000.0),
        Span("route", 2000.0, 500.0),
        Span("connect", 2500.0, 500.0),
        Span("cold_start", 3000.0, 2000.0, lost=True),
    )
    assert second.spans == (
        Span("route", 6000.0, 0.0),
        Span("inference", 6000.0, 4000.0),
        Span("persist", 10_000.0, 250.0),
    )
    assert told.total_ms == 10_250.0
    assert told.longest is None


def test_what_took_more_than_half_is_named():
    told = waterfall(100.0, [AttemptTimes(1, "answered", None, 105.0, {"inference": 4000.0})])
    assert told is not None
    assert told.longest == Span("inference", 1000.0, 4000.0)


def test_a_wall_clock_that_was_set_back_makes_no_negative_time():
    told = waterfall(100.0, [AttemptTimes(1, "answered", None, 99.0, {"inference": 4000.0})], persisted_at=99.5)
    assert told is not None
    assert [span.begin_ms for span in told.attempts[0].spans] == [0.0]
    assert told.total_ms == 4000.0
