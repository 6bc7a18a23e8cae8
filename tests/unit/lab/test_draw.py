"""Draws: the same for the same subject, everywhere and always."""

from __future__ import annotations

from hashlib import sha256

import pytest

from beacon.lab.draw import Draws


def test_the_numbers_are_those_of_sha256_over_the_subject():
    root = sha256(b"7\x1fus\x1fqwen").digest()
    block = sha256(root + (0).to_bytes(8, "big")).digest()
    drawn = Draws(7, "us", "qwen")

    last_word = int.from_bytes(block[28:32], "big")

    assert drawn.uniform() == (last_word + 0.5) / 2**32


def test_equal_subjects_draw_equal_rows_and_different_ones_do_not():
    def row(*parts):
        draws = Draws(*parts)
        return [draws.uniform() for _ in range(50)]

    assert row(1, "us") == row(1, "us")
    assert row(1, "us") != row(1, "eu")
    assert row(1, "us") != row(2, "us")


def test_numbers_lie_between_0_and_1_and_fill_the_range_evenly():
    draws = Draws("even")
    numbers = [draws.uniform() for _ in range(20_000)]

    assert min(numbers) > 0
    assert max(numbers) < 1
    for tenth in range(10):
        share = sum(tenth / 10 <= number < (tenth + 1) / 10 for number in numbers) / len(numbers)
        assert share == pytest.approx(0.1, abs=0.01)


def test_normal_numbers_have_mean_0_and_deviation_1():
    draws = Draws("normal")
    numbers = [draws.normal() for _ in range(20_000)]
    mean = sum(numbers) / len(numbers)

    assert mean == pytest.approx(0, abs=0.03)
    assert sum((number - mean) ** 2 for number in numbers) / len(numbers) == pytest.approx(1, abs=0.05)


def test_a_sample_has_no_repetition_and_no_more_than_there_is():
    assert sorted(Draws("sample").sample("abcde", 5)) == list("abcde")
    assert len(Draws("sample").sample("abc", 9)) == 3
    assert {Draws("choose", n).choose("abc") for n in range(100)} == set("abc")
