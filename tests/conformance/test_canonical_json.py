"""RFC 8785 against the published cases of its authors."""

from __future__ import annotations

import json

import pytest

from beacon.provenance.canonical import canonical_bytes, parse_canonical
from tests.conformance.published import vectors

CASES = ("arrays", "french", "structures", "unicode", "values", "weird")


@pytest.mark.parametrize("case", CASES)
def test_published_case(case: str):
    directory = vectors("jcs")
    value = json.loads((directory / f"{case}.input.json").read_bytes())
    expected = bytes.fromhex((directory / f"{case}.outhex.txt").read_text())
    assert canonical_bytes(value) == expected
    assert canonical_bytes(parse_canonical(expected, case)) == expected


def test_no_published_case_is_left_out():
    assert {path.name.split(".")[0] for path in vectors("jcs").glob("*.input.json")} == set(CASES)
