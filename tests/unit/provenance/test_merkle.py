"""The tree against its definition, and its proofs for every shape."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.provenance.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_holds,
    consistency_proof,
    inclusion_holds,
    inclusion_proof,
    leaf_hash,
    node_hash,
)


def leaf(number: int) -> bytes:
    return leaf_hash(b"leaf %d" % number)


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(defined_root(leaves[:k]), defined_root(leaves[k:]))


def node(level: int, index: int) -> bytes:
    return defined_root([leaf(number) for number in range(index << level, (index + 1) << level)])


def root(size: int) -> bytes:
    return defined_root([leaf(number) for number in range(size)])


def test_hashes_are_separated_by_their_prefix():
    assert leaf_hash(b"ab") == sha256(b"\x00ab").digest()
    assert node_hash(b"a", b"b") == sha256(b"\x01ab").digest()
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_growing_tree_always_has_the_defined_root():
    tree = Frontier()
    for size in range(130):
        assert tree.size == size
        assert tree.root() == root(size)
        tree.append(leaf(size))


def test_a_growing_tree_keeps_no_more_than_a_hash_a_level():
    tree = Frontier()
    for _ in range(1023):
        tree.append(b"x" * 32)
    assert len(tree._peaks) == 10


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.data())
def test_inclusion_proofs_hold_for_their_leaf_alone(size: int, data):
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, node)
    assert inclusion_holds(leaf(index), index, size, proof, root(size))
    assert not inclusion_holds(leaf(index + 1), index, size, proof, root(size))
    assert not inclusion_holds(leaf(index), index, size, [*proof, leaf(0)], root(size))
    assert not inclusion_holds(leaf(index), index, size, proof, root(size + 1))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not inclusion_holds(leaf(index), index, size, proof[:place] + proof[place + 1 :], root(size))
        altered = [*proof[:place], leaf_hash(proof[place]), *proof[place + 1 :]]
        assert not inclusion_holds(leaf(index), index, size, altered, root(size))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 200), st.data())
def test_consistency_proofs_hold_for_their_trees_alone(new: int, data):
    old = data.draw(st.integers(0, new))
    proof = consistency_proof(old, new, node)
    assert consistency_holds(old, new, root(old), root(new), proof)
    if old > 0 or new == 0:
        assert not consistency_holds(old, new, root(old), leaf(999), proof)
    assert not consistency_holds(old, new, leaf(999), root(new), proof)
    assert not consistency_holds(old, new, root(old), root(new), [*proof, leaf(0)])
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert not consistency_holds(old, new, root(old), root(new), proof[:place] + proof[place + 1 :])
        altered = [*proof[:place], leaf_hash(proof[place]), *proof[place + 1 :]]
        assert not consistency_holds(old, new, root(old), root(new), altered)


def test_what_cannot_be_proven_is_no_proof():
    assert not inclusion_holds(leaf(0), 0, 0, [], EMPTY_ROOT)
    assert not inclusion_holds(leaf(0), -1, 1, [], leaf(0))
    assert not inclusion_holds(leaf(0), 2**70, 2**70 + 1, [leaf(0)] * 3, leaf(0))
    assert not consistency_holds(3, 2, root(3), root(2), [])
    assert not consistency_holds(0, 2, leaf(7), root(2), [])
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof(3, 3, node)
    with pytest.raises(ValueError, match="no beginning"):
        consistency_proof(4, 3, node)
