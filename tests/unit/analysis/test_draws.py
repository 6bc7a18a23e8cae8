from __future__ import annotations

import numpy as np
import pytest

from beacon.analysis.draws import Bits, cuts, drawn, p_value


def test_the_same_identity_gives_the_same_words_whatever_the_version_of_numpy() -> None:
    """The words themselves are written down: a library that changed them would change findings."""
    assert Bits("a test", 7).words(5).tolist() == [2193479577, 4280399256, 1897477836, 4215972517, 417291316]
    assert Bits("a test", 8).words(1).tolist() != [2193479577]


def test_outcomes_are_drawn_in_proportion_to_their_weights() -> None:
    weights = (1, 6, 15, 20, 15, 6, 1)
    counts = np.bincount(drawn(Bits("proportions"), weights, 64_000), minlength=7)
    assert counts == pytest.approx([1_000 * weight for weight in weights], rel=0.15)


def test_many_outcomes_are_drawn_like_few() -> None:
    counts = np.bincount(drawn(Bits("many"), (1,) * 50, 50_000), minlength=50)
    assert counts.min() > 800
    assert counts.max() < 1_200


def test_a_cut_point_is_the_share_of_what_lies_below() -> None:
    assert cuts((1, 1, 2)).tolist() == [2**30, 2**31]


def test_smallest_keys_are_a_random_choice() -> None:
    keys = Bits("keys").keys(4_000, 6)
    chosen = keys <= np.partition(keys, 1, axis=1)[:, 1:2]
    assert (chosen.sum(axis=1) == 2).all()
    assert chosen.sum(axis=0) == pytest.approx([4_000 / 3] * 6, rel=0.1)


def test_p_value_counts_the_observed_order_as_one_of_the_draws() -> None:
    assert p_value(0, 99) == 0.01
    assert p_value(99, 99) == 1.0
