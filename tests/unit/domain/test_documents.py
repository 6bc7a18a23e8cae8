"""Texts of documents: what is read, what is refused, and how the place of a fault is told."""

import codecs
import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.domain.document import MAX_DOCUMENT_BYTES, decode, field_path, parse_text
from beacon.domain.spec import validate_spec
from beacon.errors import DocumentError, InputError


def only_fault(text: str, source: str = "doc.yaml") -> InputError:
    with pytest.raises(DocumentError) as caught:
        parse_text(text, source)
    (fault,) = caught.value.faults
    assert source in caught.value.explain()
    return fault


EXPLODING = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)),
    ]
)
"""Nine lines that stand for a thousand million values."""


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, first on line 1", "duplicate key 'a'"),
        ("x:\n  a: 1\n  a: 3", "line 3, first on line 2", "duplicate key 'a'"),
        ("1: a\n1: b", "line 2, first on line 1", "duplicate key 1"),
        ("a: &x [1, *x]", "line 1", "inside what it names"),
        (EXPLODING, "line 6", "1,000,000 values"),
        ("a: !!python/object/apply:os.system [x]", "line 1", "tags"),
        ("a: !secret x", "line 1", "tags"),
        ("? [1, 2]\n: 3", "line 1", "a key must be a plain name"),
        ("~: 3", "line 1", "a key must be a plain name"),
        ("a: [1, 2", "line 2, column 1", "not valid YAML"),
        ("a: 'x\n", "line 2, column 1", "not valid YAML"),
        ("a: b\n c: d", "line 2, column 3", "not valid YAML"),
        ("ok: 1\n---\nok: 2", "line 2, column 1", "a second document begins"),
        ("a: 1\nb: \x00", "line 2", "'\\x00' is not allowed"),
        ("a: 1\nb: \x1b[31m", "line 2", "'\\x1b' is not allowed"),
        ("a: 1\nb: \ud800", "line 2", "lone surrogate"),
        ("a: " + "[" * 60 + "]" * 60, "line 1", "nested deeper"),
        ("seed: " + "9" * 5000, "line 1", "5,000 digits"),
    ],
)
def test_a_faulty_yaml_text_is_refused_with_its_line(text: str, where: str, what: str) -> None:
    fault = only_fault(text)
    assert fault.where == where
    assert what in fault.what


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"a": 1,\n "a": 2}', "a", "duplicate key 'a'"),
        ('{"limits": [{"x": 1}, {"y": {"z": 1, "z": 2}}]}', "limits[1].y.z", "duplicate key 'z'"),
        ('{"a"\n 1}', "line 2, column 2", "not valid JSON"),
        ("a: 1", "line 1, column 1", "not valid JSON"),
        ('{"a":' * 60 + "1" + "}" * 60, "a.a.a.a", "nested deeper"),
        ("[" * 100_000, None, "nested too deeply"),
        ('{"seed": ' + "9" * 5000 + "}", None, "5,000 digits"),
    ],
)
def test_a_faulty_json_text_is_refused_with_its_place(text: str, where: str | None, what: str) -> None:
    fault = only_fault(text, "doc.json")
    assert fault.where == where
    assert what in fault.what


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "a:\n" + "- " * 100_000, '{"a":' * 100_000])
def test_very_deep_nesting_is_a_fault_and_no_crash(text: str) -> None:
    only_fault(text)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("010", 10),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("-5", -5),
        (".5", 0.5),
        ("0x1f", 31),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("~", None),
        ("", None),
        ("none", "none"),
        ("=", "="),
        ('"\\U0001F600"', "😀"),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(scalar: str, value: object) -> None:
    assert parse_text(f"key: {scalar}", "doc.yaml") == {"key": value}
    assert type(parse_text(f"key: {scalar}", "doc.yaml")["key"]) is type(value)


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse_text("<<: {a: 1}", "doc.yaml") == {"<<": {"a": 1}}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(json_values, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_any_json_text_is_read_as_it_is_by_json(value: object, indent: int | str | None, ascii_only: bool) -> None:
    """Tabs, escaped surrogate pairs and numbers without a dot are JSON that YAML 1.1 parsers get wrong."""
    text = json.dumps({"value": value}, indent=indent, ensure_ascii=ascii_only)
    assert parse_text(text, "anything") == {"value": value}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_as_a_document(text: str) -> None:
    """No text leads to an error of another kind."""
    with suppress(DocumentError):
        parse_text(text, "doc")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"name: plain", "name: plain"),
        ("name: für".encode(), "name: für"),
        (codecs.BOM_UTF8 + "name: 中".encode(), "name: 中"),
        ("name: 中".encode("utf-16"), "name: 中"),
        (codecs.BOM_UTF16_BE + "name: 中".encode("utf-16-be"), "name: 中"),
        (b"", ""),
    ],
)
def test_bytes_are_decoded_with_their_byte_order_mark(data: bytes, text: str) -> None:
    assert decode(data, "f") == text


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b"a: 1\nb: \xff", "line 2", "byte 0xff"),
        ("ä".encode("latin-1"), "line 1", "byte 0xe4"),
        (codecs.BOM_UTF16_LE + b"a", "line 1", "UTF-16"),
        (b"x" * (MAX_DOCUMENT_BYTES + 1), None, "at most 8,000,000"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, where: str | None, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        decode(data, "spec.yaml")
    (fault,) = caught.value.faults
    assert fault.where == where
    assert what in fault.what
    assert "spec.yaml has 1 fault" in str(caught.value)


def test_a_byte_order_mark_within_a_text_is_passed_over() -> None:
    assert parse_text("\ufeffa: 1", "doc") == {"a": 1}
    assert parse_text('\ufeff{"a": 1}', "doc.json") == {"a": 1}


@pytest.mark.parametrize(
    ("loc", "path"),
    [
        ((), ""),
        (("questions", 1, "id"), "questions[1].id"),
        (("models", "llama3.2-1b"), 'models["llama3.2-1b"]'),
        (("x", 'a "quoted"\nkey'), 'x["a \\"quoted\\"\\nkey"]'),
        (("languages", "us"), "languages.us"),
    ],
)
def test_a_path_is_written_as_a_person_would_look_it_up(loc: tuple[int | str, ...], path: str) -> None:
    assert field_path(loc) == path


@pytest.mark.parametrize(("value", "found"), [(None, "nothing"), ([1], "[1]"), ("text", "'text'"), (5, "5")])
def test_a_document_that_is_no_map_is_refused(value: object, found: str) -> None:
    with pytest.raises(DocumentError, match=r"expected a map of fields, found") as caught:
        validate_spec(value, "doc")
    assert found in str(caught.value)


def test_of_many_faults_the_first_are_shown_and_the_rest_counted() -> None:
    questions = [{"id": "a b", "text": "T?"}] * 50
    with pytest.raises(DocumentError) as caught:
        validate_spec(
            {
                "schema": "beacon.job/v1",
                "name": "n",
                "questions": questions,
                "models": ["m"],
                "regions": ["us"],
            },
            "doc",
        )
    assert len(caught.value.faults) == 50
    assert "doc has 50 faults" in caught.value.explain()
    assert caught.value.explain().count("is not an id or name") == 20
    assert caught.value.explain().endswith("and 30 more")


def test_an_alias_means_what_it_names() -> None:
    assert parse_text("models: &all [alpha, beta]\nagain: *all", "fleet.yaml") == {
        "models": ["alpha", "beta"],
        "again": ["alpha", "beta"],
    }
