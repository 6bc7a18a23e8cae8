from __future__ import annotations

import pytest

from beacon.cli.export import defused
from beacon.cli.terminal import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("naïve 台湾", "naïve 台湾"),
        ("\x1b[2J", "<U+001B>[2J"),
        ("a\u202eb\u200bc", "a<U+202E>b<U+200B>c"),
        ("one\ntwo", "one<U+000A>two"),
        ("\x9b31m", "<U+009B>31m"),
    ],
)
def test_what_a_terminal_would_act_on_is_shown_as_its_code(text, shown):
    assert visible(text) == shown


def test_lines_may_be_kept():
    assert visible("one\n\ttwo\r", keep_lines=True) == "one\n\ttwo<U+000D>"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_defused(start):
    assert defused(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("value", ["plain", "", None, -1.5, 3, True])
def test_other_values_stay_as_they_are(value):
    assert defused(value) == value
