"""A Retry-After beyond what is waited for: tried again once, then taken for a closed provider."""

from __future__ import annotations

from beacon.router.closing import LONGEST_OBEYED_S, Closing

DAY = 86_400.0


def test_what_is_asked_for_is_obeyed_up_to_the_limit() -> None:
    closing = Closing()
    assert closing.obey(60.0, sent_at=0.0, now=1.0) == 60.0
    assert closing.obey(DAY, sent_at=0.0, now=1.0) == LONGEST_OBEYED_S


def test_one_refusal_and_those_beside_it_close_nothing() -> None:
    closing = Closing()
    closing.obey(DAY, sent_at=0.0, now=1.0)
    closing.obey(DAY, sent_at=0.5, now=LONGEST_OBEYED_S + 5)  # was under way since before the first
    assert not closing.closed(LONGEST_OBEYED_S + 5)


def test_the_same_again_after_the_limit_closes_it_until_it_is_tried_next() -> None:
    closing, again = Closing(), 1.0 + LONGEST_OBEYED_S
    closing.obey(DAY, sent_at=0.0, now=1.0)
    closing.obey(DAY, sent_at=again, now=again + 1)
    assert closing.closed(again + 2)
    assert not closing.closed(again + 1 + LONGEST_OBEYED_S)


def test_an_answer_opens_it() -> None:
    closing, again = Closing(), 1.0 + LONGEST_OBEYED_S
    closing.obey(DAY, sent_at=0.0, now=1.0)
    closing.answered()
    closing.obey(DAY, sent_at=again, now=again + 1)
    assert not closing.closed(again + 2)
