"""Region names: one alias table at the edge, and no guessing."""

import pytest

from beacon.domain.regions import ALIASES, BUILT_IN, normalise, resolve
from beacon.errors import InputError


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("us", "us"),
        ("US", "us"),
        ("us-east", "us"),
        ("us_east_1", "us"),
        ("United States", "us"),
        ("eu-west", "eu"),
        (" Europe ", "eu"),
        ("asia-pacific", "apac"),
        ("Asia Pacific", "apac"),
        ("ap-southeast-2", "apac"),
        ("latam", "latam"),
        ("Middle_East", "middle-east"),
    ],
)
def test_a_spelling_is_read_as_its_canonical_name(written: str, canonical: str) -> None:
    assert normalise(written) == canonical


def test_every_alias_leads_to_a_built_in_region_and_every_region_to_itself() -> None:
    assert set(ALIASES.values()) == set(BUILT_IN)
    for spelling, region in ALIASES.items():
        assert normalise(spelling) == region
        assert normalise(spelling.upper().replace("-", "_")) == region
    for region in BUILT_IN:
        assert normalise(region) == region


@pytest.mark.parametrize("name", ["", "??", "us!", "-us", "us--east", "欧洲", "ｕｓ", "a\x00b", "x" * 41, "1us", "any"])
def test_what_cannot_be_a_region_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(InputError, match="cannot be a region name") as caught:
        normalise(name)
    assert "us, eu or apac" in str(caught.value.todo)


def test_an_unknown_region_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InputError, match="unknown region 'latin'") as caught:
        resolve("latin", ["us", "latam"])
    assert "did you mean 'latam'?" in str(caught.value.todo)


def test_an_alias_of_a_region_that_is_not_served_is_never_replaced_by_another() -> None:
    with pytest.raises(InputError, match="unknown region 'eu-west'"):
        resolve("eu-west", ["us", "apac"])
    assert resolve("us-west", ["us", "apac"]) == "us"
