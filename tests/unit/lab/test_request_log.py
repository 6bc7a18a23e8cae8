"""The record of requests: numbers, counts per key, bounds."""

from __future__ import annotations

from beacon.lab.request_log import RequestLog, Row


def row(key="k", prompt="p", model="m"):
    return Row(
        at_ms=0.0,
        key=key,
        attempt=1,
        deadline_ms=None,
        model=model,
        question=None,
        language="en",
        prompt=prompt,
        stream=False,
    )


def sent(log: RequestLog, **fields) -> Row:
    one = row(**fields)
    log.opened(one)
    log.number(one)
    one.status, one.outcome = 200, "substantive"
    log.closed(one)
    return one


def test_distinct_requests_of_a_cell_are_numbered_and_a_known_key_keeps_its_number():
    log = RequestLog()

    assert [sent(log, key=key).n for key in ("a", "b", "a", None, "c", "a")] == [1, 2, 1, 3, 4, 1]
    assert sent(log, key="d", prompt="other").n == 1
    assert sent(log, key="e", model="other").n == 1
    assert log.dump("us")["keys"] == {"a": 3, "b": 1, "c": 1, "d": 1, "e": 1}


def test_a_request_that_was_turned_away_takes_no_number():
    log = RequestLog()
    turned = row(key="a")
    log.opened(turned)
    log.closed(turned)

    assert sent(log, key="a").n == 1
    assert log.dump("us")["keys"] == {"a": 2}


def test_memory_is_bounded_and_what_was_let_go_is_counted():
    log = RequestLog(max_rows=10)
    for number in range(25):
        sent(log, key=f"k{number}", prompt=f"p{number}")
    dump = log.dump("us")

    assert [one["key"] for one in dump["requests"]] == [f"k{n}" for n in range(15, 25)]
    assert len(dump["keys"]) == 10
    assert dump["dropped"] == 15
    assert log.stats()["requests"] == 25


def test_without_recording_only_totals_are_kept():
    log = RequestLog(recording=False)

    assert [sent(log, key="a").n for _ in range(3)] == [1, 2, 3]
    assert log.dump("us")["requests"] == []
    assert log.dump("us")["keys"] == {}
    assert log.stats()["by_status"] == {"200": 3}


def test_totals_add_up_and_a_reset_forgets_them():
    log = RequestLog()
    one = row()
    log.opened(one)
    log.scripted(one, 30.0)
    two = row(key="k2")
    log.opened(two)
    log.scripted(two, 50.0)
    log.closed(two)

    stats = log.stats()
    assert (stats["in_flight"], stats["most_in_flight"]) == (1, 2)
    assert stats["models"] == {"m": {"requests": 2, "latency_ms_sum": 80.0, "latency_ms_max": 50.0}}

    log.reset()
    assert log.stats() == {
        "requests": 0,
        "in_flight": 1,
        "most_in_flight": 1,
        "by_status": {},
        "by_outcome": {},
        "models": {},
    }
