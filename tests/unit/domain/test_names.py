"""Nearest names, as they stand in error messages."""

import pytest

from beacon.domain.names import suggest


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("regoins", ["regions", "models"], "did you mean 'regions'? known: models, regions"),
        ("QWEN2.5-1.5B", ["qwen2.5-1.5b"], "did you mean 'qwen2.5-1.5b'? known: qwen2.5-1.5b"),
        ("llama", ["Llama-8B", "zz"], "did you mean 'Llama-8B'? known: Llama-8B, zz"),
        ("xyz", ["regions", "models"], "known: models, regions"),
        (
            "mistral",
            ["mistral-large-2411-instruct"],
            "did you mean 'mistral-large-2411-instruct'? known: mistral",
        ),
        ("us", ["australia", "virginia"], "known: australia, virginia"),
        ("", ["a"], "known: a"),
        ("x", [], "none is configured"),
    ],
)
def test_the_nearest_name_is_suggested_whatever_its_case(name: str, known: list[str], said: str) -> None:
    assert suggest(name, known).startswith(said)


def test_a_long_list_is_cut_and_a_long_name_is_harmless() -> None:
    many = [f"model-{n:03}" for n in range(500)]
    said = suggest("x" * 1_000_000, many)
    assert said.endswith(", …")
    assert said.count("model-") == 12
