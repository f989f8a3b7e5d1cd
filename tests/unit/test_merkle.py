"""The tree of the log against the vectors of RFC 6962's reference code and against another implementation."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree, InvalidProof, verify_consistency, verify_inclusion

from compliance.merkle import (
    EMPTY,
    TILE,
    GrowingTree,
    Subtree,
    consistency,
    inclusion,
    leaf_hash,
    root,
    root_by,
    subtree_hash,
)
from tests.logs import standalone

# The leaves and roots with which the authors of certificate transparency test theirs.
LEAVES = [bytes.fromhex(leaf) for leaf in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def over(leaves: Sequence[bytes]) -> Subtree:
    """Complete subtrees of these leaves' hashes."""
    return lambda height, number: subtree_hash(leaves[number << height : (number + 1) << height])


def test_the_roots_of_the_reference_vectors() -> None:
    """One leaf to eight hash to what RFC 6962's reference code says; none to the hash of nothing."""
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [root(size, over(hashes)).hex() for size in range(1, 9)] == list(ROOTS)
    assert root(0, over([])) == EMPTY == sha256(b"").digest()


def test_the_proofs_of_the_reference_vectors() -> None:
    """Paths to leaves and between sizes, as the reference code gives them."""
    hashes = [leaf_hash(leaf) for leaf in LEAVES]
    assert [one.hex() for one in inclusion(5, 8, over(hashes))] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [one.hex() for one in consistency(2, 5, over(hashes))] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 300), data=st.data())
def test_roots_and_proofs_agree_with_another_implementation(size: int, data: st.DataObject) -> None:
    """Roots and proofs hold the hashes that pymerkle's hold, whose proofs pass for our roots; ours pass with strangers."""
    entries = [b"entry %d" % n for n in range(size)]
    hashes = [leaf_hash(entry) for entry in entries]
    other = InmemoryTree(algorithm="sha256")
    for entry in entries:
        other.append_entry(entry)
    whole = root(size, over(hashes))
    assert whole == other.get_root(size)
    position = data.draw(st.integers(0, size - 1))
    path = inclusion(position, size, over(hashes))
    assert root_by(hashes[position], position, size, path) == whole
    theirs = other.prove_inclusion(position + 1, size)
    assert sorted(theirs.path) == sorted([hashes[position], *path])
    verify_inclusion(hashes[position], whole, theirs)
    old = data.draw(st.integers(1, size))
    grown = consistency(old, size, over(hashes))
    old_root = root(old, over(hashes))
    verify_consistency(old_root, whole, other.prove_consistency(old, size))
    assert standalone().consistent(old, old_root, size, whole, grown)
    wrong = bytes([old_root[0] ^ 1]) + old_root[1:]
    assert not standalone().consistent(old, wrong, size, whole, grown)
    with pytest.raises(InvalidProof):
        verify_inclusion(hashes[position], wrong, theirs)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(0, 700), max_size=5),
    more=st.integers(0, 3),
)
def test_a_tree_that_grows_in_any_steps_is_the_same_tree(steps: list[int], more: int) -> None:
    """Root and stored nodes depend on the leaves alone; a tree taken up again from what is stored goes on alike."""
    hashes = [leaf_hash(b"%d" % n) for n in range(sum(steps) + more)]
    tree, at = GrowingTree(), 0
    nodes: dict[tuple[int, int], bytes] = {}
    for step in steps:
        nodes |= {(level, number): hashed for level, number, hashed in tree.add(hashes[at : at + step])}
        at += step
        assert tree.root() == root(at, over(hashes[:at]))
        first = hashes[at - at % TILE : at]
        tree = GrowingTree(at, [first, [nodes[1, number] for number in range(at // TILE)]])
    assert nodes == {(1, n): subtree_hash(hashes[n * TILE : (n + 1) * TILE]) for n in range(at // TILE)}


def test_a_large_tree_has_nodes_of_two_levels() -> None:
    """65,536 leaves make 256 nodes and one above them, which is what they hash to."""
    hashes = [leaf_hash(b"%d" % n) for n in range(TILE * TILE)]
    tree = GrowingTree()
    nodes = list(tree.add(hashes))
    assert [node[:2] for node in nodes if node[0] == 2] == [(2, 0)]
    assert len(nodes) == TILE + 1
    assert nodes[-1][2] == tree.root() == subtree_hash(hashes)


@given(st.integers(1, 40), st.data())
def test_no_path_of_another_place_or_size_passes(size: int, data: st.DataObject) -> None:
    """A proof holds for its own leaf, place and tree size, and for nothing else."""
    hashes = [leaf_hash(b"%d" % n) for n in range(size)]
    position = data.draw(st.integers(0, size - 1))
    path, whole = inclusion(position, size, over(hashes)), root(size, over(hashes))
    for other in range(-1, size + 2):
        if other != position:
            assert root_by(hashes[position], other, size, path) != whole
    assert root_by(hashes[position], position, size, [*path, hashes[0]]) is None
    if path:
        assert root_by(hashes[position], position, size, path[:-1]) != whole
