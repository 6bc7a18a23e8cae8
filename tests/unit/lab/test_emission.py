"""When the parts of an answer are due."""

from __future__ import annotations

from itertools import pairwise

import pytest

from beacon.lab.emission import TICK_S, Emission


def emission(count, first, last):
    return Emission([b"%d;" % n for n in range(count)], first, last, None, "end")


def test_parts_are_spread_evenly_from_the_first_moment_to_the_last():
    due = emission(5, 1.0, 2.0).due()

    assert [moment for moment, _ in due] == pytest.approx([1.0, 1.25, 1.5, 1.75, 2.0])
    assert b"".join(part for _, part in due) == b"0;1;2;3;4;"


def test_parts_within_a_tick_go_together_and_the_last_is_never_early():
    due = emission(1001, 0.0, 1.0).due()
    moments = [moment for moment, _ in due]

    assert len(due) <= 1.0 / TICK_S + 2
    assert all(later - earlier >= TICK_S for earlier, later in pairwise(moments[:-1]))
    assert moments[-1] == 1.0
    assert due[-1][1] == b"1000;"
    assert b"".join(part for _, part in due).count(b";") == 1001


@pytest.mark.parametrize("count", [0, 1, 7])
def test_without_a_pace_all_comes_at_once(count):
    due = emission(count, 0.5, 0.5).due()

    assert len(due) == min(count, 1)
    assert all(moment == 0.5 for moment, _ in due)
