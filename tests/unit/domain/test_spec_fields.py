"""Fields of a job spec: what a person is told of each that is wrong."""

from typing import Any

import pytest

from beacon.domain.spec import validate_spec
from beacon.errors import DocumentError, ExitCode, InputError


def faults_of(changes: dict[Any, Any]) -> dict[str | None, InputError]:
    right = {
        "schema": "beacon.job/v1",
        "name": "n",
        "questions": [{"id": "q", "text": "Why?"}],
        "models": ["m"],
        "regions": ["us"],
    }
    with pytest.raises(DocumentError) as caught:
        validate_spec({**right, **changes}, "spec.yaml")
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return {fault.where: fault for fault in caught.value.faults}


def check(faults: dict[str | None, InputError], path: str, what: str, todo: str | None) -> None:
    assert path in faults
    assert what in faults[path].what
    assert todo is None or todo in str(faults[path].todo)


FIELDS: list[tuple[Any, Any, str, str, str | None]] = [
    # field, value, path, part of what is said, part of the hint
    ("schema", "beacon.job/v2", "schema", "unknown value 'beacon.job/v2'", "'beacon.job/v1'"),
    ("modles", ["m"], "modles", "unknown key 'modles'", "did you mean 'models'?"),
    ("name", "", "name", "must not be empty", None),
    ("name", "  ", "name", "must not be blank", None),
    ("name", 2024, "name", "expected text, found 2024", "quotes"),
    ("name", "a\x00b", "name", r"control character '\x00'", "remove it"),
    ("name", "a\nb", "name", r"control character '\n'", "remove it"),
    ("name", "a\u2028b", "name", r"control character '\u2028'", "remove it"),
    ("name", "\ud800", "name", "UTF-8", None),
    ("name", "x" * 201, "name", "201 characters, at most 200", None),
    ("name", None, "name", "expected text, found None", "leave it out"),
    ("name", {"en": "n"}, "name", "expected text, found {'en': 'n'}", None),
    ("questions", [], "questions", "must not be empty", None),
    ("questions", "sovereignty", "questions", "expected a list, found 'sovereignty'", "[sovereignty]"),
    ("questions", ["sovereignty"], "questions[0]", "found 'sovereignty'", "{pack: NAME}"),
    ("models", [], "models", "must not be empty", None),
    ("models", "m", "models", "expected a list, found 'm'", "[m]"),
    ("models", {"m": "m"}, "models", "expected a list, found {'m': 'm'}", None),
    ("models", ["a", "b", "a"], "models[2]", "'a' stands twice", "keep one"),
    ("models", ["a", 1.5], "models[1]", "expected text, found 1.5", "quotes"),
    ("models", ["a b"], "models[0]", "'a b' is not a model name", "letters, digits"),
    ("models", ["a"] * 201, "models", "201 entries, at most 200", None),
    ("regions", [], "regions", "must not be empty", None),
    ("regions", "us", "regions", "expected a list, found 'us'", "[us]"),
    ("regions", ["us", "eu", "??"], "regions[2]", "'??' cannot be a region name", "us, eu or apac"),
    ("regions", ["us", "eu", "us"], "regions[2]", "'us' stands twice", "keep one"),
    ("regions", ["us", "eu", "US-East"], "regions[2]", "'US-East' and 'us' are the same region", "keep one"),
    ("regions", [7], "regions[0]", "expected text, found 7", "quotes"),
    ("personas", [], "personas", "must not be empty", None),
    ("personas", ["none", "region"], "personas[1]", "unknown value 'region'", "did you mean 'regional'?"),
    ("personas", ["none", "none"], "personas[1]", "'none' stands twice", "keep one"),
    ("languages", [], "languages", "must not be empty", None),
    ("languages", {}, "languages", "must not be empty", None),
    ("languages", "en", "languages", "expected a list, found 'en'", "[en]"),
    ("languages", ["en", "English"], "languages[1]", "'English' is not a language code", "en, fi or zh"),
    ("languages", ["en", "en"], "languages[1]", "'en' stands twice", "keep one"),
    ("languages", {"us": "en", "US": "fi"}, "languages.US", "'US' and 'us' are the same region", "keep one"),
    ("languages", {"us": "EN"}, "languages.us", "'EN' is not a language code", None),
    ("languages", {"??": "en"}, "languages", "'??' cannot be a region name", None),
    ("languages", {"eu": "en"}, "languages", "no entry for region 'us'", "its language"),
    ("languages", {"us": "en", "eu": "fi"}, "languages.eu", "'eu' is not among regions", "us"),
    ("languages", {5: "en"}, "languages", "expected text, found 5", "quotes"),
    ("repeats", 0, "repeats", "must be at least 1, found 0", None),
    ("repeats", 10_001, "repeats", "must be at most 10,000, found 10001", None),
    ("repeats", "5", "repeats", "expected a whole number, found '5'", "without quotes"),
    ("repeats", 2.5, "repeats", "expected a whole number, found 2.5", None),
    ("repeats", True, "repeats", "expected a whole number, found True", None),
    ("repeats", None, "repeats", "expected a whole number, found None", "leave it out"),
    ("seed", -1, "seed", "must be at least 0, found -1", None),
    ("seed", 2**53, "seed", "must be at most 9,007,199,254,740,991", None),
    ("seed", 10**500, "seed", "must be at most", None),
    ("sampling", [], "sampling", "expected a map of fields, found []", None),
    ("limits", None, "limits", "expected a map of fields, found None", "leave it out"),
    ("<b>", 1, '["<b>"]', "unknown key '<b>'", "known: languages"),
    ("[key]", 1, '["[key]"]', "unknown key '[key]'", None),
    (5, 1, "[5]", "expected a name as key, found 5", "quotes"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "path", "what", "todo"), FIELDS)
def test_a_bad_field_is_named_with_its_path_value_and_a_hint(
    field: Any, value: Any, path: str, what: str, todo: str | None
) -> None:
    check(faults_of({field: value}), path, what, todo)


QUESTIONS: list[tuple[dict[str, Any], str, str, str | None]] = [
    # entry, path within it, part of what is said, part of the hint
    ({"pack": "p", "onyl": ["a"]}, "onyl", "unknown key 'onyl'", "did you mean 'only'?"),
    ({"pack": "p", "only": []}, "only", "must not be empty", None),
    ({"pack": "p", "only": ["a", "a"]}, "only[1]", "'a' stands twice", "keep one"),
    ({"pack": ""}, "pack", "must not be empty", None),
    ({"id": "q", "txt": "Why?"}, "txt", "unknown key 'txt'", "did you mean 'text'?"),
    ({"id": "q"}, "texts", "required", None),
    ({"text": "Why?"}, "id", "required", None),
    ({"id": "q", "text": ""}, "text", "must not be empty", None),
    ({"id": "q", "text": " \n"}, "text", "must not be blank", None),
    ({"id": "q", "text": "a\x07"}, "text", r"control character '\x07'", None),
    ({"id": "q", "text": "x" * 20001}, "text", "20,001 characters", None),
    ({"id": "q", "text": "a", "texts": {"en": "a"}}, "text", "both text and texts", None),
    ({"id": "q", "texts": {"EN": "a"}}, "texts", "'EN' is not a language code", "en, fi or zh"),
    ({"id": "q", "texts": {"en": "a", "zh": 5}}, "texts.zh", "found 5", "quotes"),
    ({"id": "q 1", "text": "a"}, "id", "'q 1' is not an id", "letters, digits"),
    ({"id": "q\x00", "text": "a"}, "id", r"'q\x00' is not an id", None),
    ({"id": "q", "text": "a", "sensitivity": "hgih"}, "sensitivity", "'hgih'", "'high'"),
    ({"id": "q", "text": "a", "control": "yes"}, "control", "true or false", None),
    ({"id": "q", "text": "a", "facts": [5]}, "facts[0]", "map of fields, found 5", None),
    ({"id": "q", "text": "a", "facts": [""]}, "facts[0]", "must not be empty", None),
    ({"id": "q", "text": "a", "reverse_of": "q"}, "reverse_of", "'q' is the question itself", None),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "path", "what", "todo"), QUESTIONS)
def test_a_bad_question_is_named_with_its_path_value_and_a_hint(
    entry: dict[str, Any], path: str, what: str, todo: str | None
) -> None:
    right = {"id": "first", "text": "Why?"}
    check(faults_of({"questions": [right, entry]}), f"questions[1].{path}", what, todo)


SETTINGS: list[tuple[str, Any, str, str | None]] = [
    # path, value, part of what is said, part of the hint
    ("sampling.temprature", 1, "unknown key", "did you mean 'temperature'?"),
    ("sampling.temperature", 2.1, "must be at most 2, found 2.1", None),
    ("sampling.temperature", float("nan"), "expected a finite number, found nan", None),
    ("sampling.temperature", "hot", "expected a number, found 'hot'", None),
    ("sampling.temperature", 10**500, "expected a number", None),
    ("sampling.top_p", 0, "must be more than 0, found 0", None),
    ("sampling.max_tokens", 0, "must be at least 1", None),
    ("limits.execution_deadline", 0, "must be more than 0, found 0", None),
    ("limits.execution_deadline", "0s", "must be more than 0, found '0s'", None),
    ("limits.execution_deadline", "-5s", "not a duration: '-5s'", "1h30m"),
    ("limits.execution_deadline", "5", "not a duration: '5'", "300s"),
    ("limits.execution_deadline", "1h and 5m", "not a duration", "300s"),
    ("limits.execution_deadline", "5mm", "not a duration: '5mm'", "300s"),
    ("limits.execution_deadline", True, "not a duration: True", "300s"),
    ("limits.execution_deadline", float("inf"), "finite number, found inf", None),
    ("limits.execution_deadline", "9" * 401 + "h", "longer than any time", None),
    ("limits.execution_deadline", "25h", "at most 86,400, found '25h'", None),
    ("limits.job_deadline", ".inf", "not a duration: '.inf'", None),
    ("limits.max_attempts", 0, "must be at least 1", None),
    ("limits.on_unknown", "retyr", "unknown value 'retyr'", "did you mean 'retry'?"),
    ("limits.max_cost_usd", 0, "must be more than 0", None),
    ("limits.max_cost_usd", float("inf"), "finite number, found inf", None),
    ("limits.allow_unknown_cost", "no", "expected true or false", None),
    ("success.min_rate", 1.5, "must be at most 1, found 1.5", None),
    ("success.min_regions", 2, "which is 1, found 2", "at most 1"),
    ("success.min_regions", 0, "must be at least 1, found 0", None),
    ("success.min_regions", True, "whole number, found True", None),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "what", "todo"), SETTINGS)
def test_a_bad_setting_is_named_with_its_path_value_and_a_hint(
    path: str, value: Any, what: str, todo: str | None
) -> None:
    section, field = path.split(".")
    check(faults_of({section: {field: value}}), path, what, todo)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(DocumentError) as caught:
        validate_spec({}, "spec.yaml")
    paths = {fault.where: fault for fault in caught.value.faults}
    assert set(paths) == {"schema", "name", "questions", "models", "regions"}
    assert paths["schema"].todo == "write schema: beacon.job/v1"


def test_all_faults_are_told_at_once_and_none_that_only_follows_from_another() -> None:
    faults = faults_of({"name": "", "regions": ["??"], "repeats": 0, "personas": ["nobody"]})
    assert set(faults) == {"name", "regions[0]", "repeats", "personas[0]"}


def test_a_value_of_any_depth_is_refused_and_shown_in_brief() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert len(faults_of({"name": deep})["name"].what) < 120
    assert len(faults_of({"questions": [deep]})["questions[0]"].what) < 120
    assert len(faults_of({"schema": deep})["schema"].what) < 120
    assert "at least" not in faults_of({"unknown": deep})["unknown"].what
    assert len(faults_of({"repeats": "x" * 1_000_000})["repeats"].what) < 160
