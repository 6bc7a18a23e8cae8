from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.errors import InputError, VerificationError
from beacon.provenance.canonical import (
    canonical_bytes,
    decode_base64,
    digest,
    encode_base64,
    parse_canonical,
    row_bytes,
)

numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(values)
def test_the_canonical_form_denotes_the_value_and_is_its_own(value):
    data = canonical_bytes(value)
    assert json.loads(data, parse_int=float) == value
    assert canonical_bytes(parse_canonical(data, "here")) == data


rows = st.dictionaries(
    st.text(st.characters(max_codepoint=127), max_size=8), st.none() | st.booleans() | numbers | text
)


@settings(deadline=None, max_examples=300)
@given(rows)
def test_rows_are_written_as_everything_else_is(row):
    assert row_bytes(row) == canonical_bytes(row)


@pytest.mark.parametrize(
    "value", [5e-324, 9.99e-5, 1e-4, 0.1, -0.0, 3.0, 2**53 - 1, 1e16, 1e21, 1.5e300, "\x7f\u2028\x00\ud7ff"]
)
def test_rows_at_the_limits_of_the_short_cut(value):
    assert row_bytes({"a": value, "b": True}) == canonical_bytes({"a": value, "b": True})


def test_the_order_of_keys_and_the_spelling_of_numbers_do_not_matter():
    assert digest({"b": 1.0, "a": 1e2}) == digest({"a": 100, "b": 1})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**53, "\ud800", {"\ud800": 1}, {1: 2}, {"a": object()}, b"bytes"]
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(InputError) as raised:
        canonical_bytes(value)
    assert "canonical JSON" in str(raised.value)
    with pytest.raises(InputError):
        row_bytes({"a": value})


def test_nesting_without_end_is_refused():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InputError) as raised:
        canonical_bytes(value)
    assert "nested" in str(raised.value)


@pytest.mark.parametrize(
    "data",
    [
        *[b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'"\\u0041"', b"1 "],
        *[b"1.0", b"1e2", b"-0", b"9007199254740993", b"1" * 400],
    ],
)
def test_other_spellings_are_refused_by_name(data: bytes):
    with pytest.raises(VerificationError) as raised:
        parse_canonical(data, "spec.json")
    assert raised.value.where == "spec.json"


@pytest.mark.parametrize("text", ["QQ", "QR==", "Q Q=", "QQ==\n", "Q*==", "ü"])
def test_only_one_spelling_of_base64_is_read(text: str):
    assert decode_base64(encode_base64(b"A"), "here") == b"A"
    with pytest.raises(VerificationError):
        decode_base64(text, "here")
