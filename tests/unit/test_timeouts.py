"""docs/timeouts.md is the code's own account of every time limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import write_timeouts

PUBLISHED = Path(__file__).parents[2] / "docs" / "timeouts.md"


def test_the_published_list_is_what_the_code_says() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == write_timeouts.document(), "run `make timeouts`"


@pytest.mark.parametrize("constant", write_timeouts.constants(), ids=lambda c: f"{c.module}.{c.name}")
def test_each_limit_says_what_it_is_for(constant: write_timeouts.Constant) -> None:
    assert constant.says, "write under it what it is for, and what happens when it passes"


def test_no_wait_is_bounded_by_a_number_that_has_no_name() -> None:
    assert [wait.place for wait in write_timeouts.waits() if wait.literal] == []


def test_each_transport_waits_as_long_as_the_deadline_leaves_and_no_longer() -> None:
    waits = {wait.place.removeprefix("beacon.router.transports."): wait.told for wait in write_timeouts.waits()}
    asking = (
        "openai.infer",
        "agent.infer",
        "agent.fetch",
        "modal.fetch",
        "modal_function.infer",
        "modal_function.fetch",
    )
    assert {waits[place] for place in asking} == {"call.deadline.left_s()"}
