"""Agreement of labellers, against examples that are worked out by hand."""

from __future__ import annotations

from random import Random

import pytest

from beacon.analysis.agreement import agreement, reliabilities, reliability


def test_alpha_of_a_small_example_worked_out_by_hand() -> None:
    """Three answers with two labels each: r r, r s, s s. Coincidences: rr 2, ss 2, rs 1, sr 1, so that n = 6, n_r =
    n_s = 3; observed disagreement 2/6, expected 2 * 3 * 3/(6 * 5) = 18/30; alpha = 1 - (1/3)/(3/5) = 4/9."""
    found = reliability([["r", "r"], ["r", "s"], ["s", "s"]])
    assert found.alpha == pytest.approx(4 / 9)
    assert (found.answers, found.labels) == (3, 6)


def test_alpha_of_four_labellers_who_left_some_answers_out() -> None:
    """The example of Krippendorff's own paper (2011), with names in place of its numbers: 0.743."""
    said = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = [[row[place] for row in said if row[place] != "."] for place in range(12)]
    found = reliability(units)
    assert found.alpha == pytest.approx(0.743, abs=0.0005)
    assert (found.answers, found.labels) == (11, 40)


def test_an_answer_with_one_label_says_nothing_of_agreement() -> None:
    pairs = [["r", "r"], ["r", "s"], ["s", "s"]]
    assert reliability([*pairs, ["r"], [], ["e"]]) == reliability(pairs)


def test_alpha_is_not_made_up_where_it_is_not_defined() -> None:
    assert reliability([]).alpha is None
    assert reliability([["r"]]).alpha is None
    assert reliability([["r", "r"], ["r", "r"]]).alpha is None


def test_full_agreement_is_1_and_chance_about_0() -> None:
    draw = Random(3)
    assert reliability([[label] * 3 for label in "rsesr"]).alpha == 1
    by_chance = reliability([draw.choices("rse", k=2) for _ in range(4_000)]).alpha
    assert by_chance == pytest.approx(0, abs=0.04)


def test_kappa_of_a_small_example_worked_out_by_hand() -> None:
    """Of 10 answers 7 alike; chance (6/10 * 5/10) + (4/10 * 5/10) = 0.5; kappa 0.4."""
    pairs = [("refusal", "refusal")] * 4 + [("refusal", "substantive")] * 2
    pairs += [("substantive", "refusal")] + [("substantive", "substantive")] * 3
    found = agreement(pairs)
    assert found.accuracy == pytest.approx(0.7)
    assert found.kappa == pytest.approx(0.4)


def test_agreement_is_told_of_all_and_of_those_of_one_standing() -> None:
    given = [
        {"beacon": "refusal", "person:ann": "refusal"},
        {"beacon": "evasive", "person:ann": "refusal", "person:bo": "refusal"},
        {"beacon": "evasive", "person:ann": "evasive", "person:bo": "refusal"},
    ]
    found = reliabilities(given)
    assert found.keys() == {"all", "person"}, "one classifier agrees with nobody of its kind"
    assert found["all"].answers == 3
    assert found["person"] == reliability([["refusal", "refusal"], ["evasive", "refusal"]])
