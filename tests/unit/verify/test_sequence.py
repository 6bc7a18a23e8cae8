"""Whatever is done to a list of lines, the differences named are the real ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.verify.sequence import MAX_DIFFERENCES, compare


def digest(number: int) -> bytes:
    return b"%032d" % number


def of(numbers) -> list[bytes]:
    return [digest(number) for number in numbers]


def owned(count: int) -> list[tuple[str, bytes]]:
    return [(f"e{number}", digest(number)) for number in range(count)]


@settings(deadline=None)
@given(st.integers(0, 60), st.data())
def test_removed_and_inserted_lines_are_the_only_differences(count: int, data):
    removed = data.draw(st.sets(st.integers(0, max(count - 1, 0)), max_size=count))
    kept = [number for number in range(count) if number not in removed]
    place_and_number = st.tuples(st.integers(0, len(kept)), st.integers(1000, 2000))
    inserted = data.draw(st.lists(place_and_number, max_size=5, unique_by=lambda pair: pair[1]))
    for place, number in sorted(inserted, reverse=True):
        kept.insert(place, number)
    differences = compare(owned(count), of(kept))
    assert set(differences.missing.values()) == {f"e{number}" for number in removed if number < count}
    assert {kept[line - 1] for line in differences.foreign.values()} == {number for _, number in inserted}
    assert differences.none is (kept == list(range(count)))


@settings(deadline=None)
@given(st.permutations(range(8)))
def test_another_order_is_a_difference(order):
    differences = compare(owned(8), of(order))
    assert differences.none is (list(order) == list(range(8)))
    assert not differences.missing
    assert not differences.foreign


def test_two_lists_that_have_nothing_in_common_are_not_kept_in_memory():
    differences = compare(owned(3 * MAX_DIFFERENCES), of(range(10**6, 10**6 + 3 * MAX_DIFFERENCES)))
    assert differences.overflow
    assert len(differences.missing) <= MAX_DIFFERENCES + 1
