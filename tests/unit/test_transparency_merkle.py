"""Merkle trees, compared with published vectors and with the definitions of RFC 6962."""

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pulp_transparency import merkle
from pulp_transparency.errors import ProofWrong

LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The leaves of the reference tests of Certificate Transparency."""
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The roots of the first 0 to 8 of them."""


def mth(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def proof(m: int, leaves: Sequence[bytes], is_whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2; PROOF is that with `is_whole`."""
    n = len(leaves)
    if m == n:
        return [] if is_whole else [mth(leaves)]
    k = split(n)
    if m <= k:
        return [*proof(m, leaves[:k], is_whole), mth(leaves[k:])]
    return [*proof(m - k, leaves[k:], False), mth(leaves[:k])]


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    hashes = [merkle.leaf_hash(each) for each in LEAVES[:size]]
    frontier = merkle.Frontier()
    for each in hashes:
        frontier.append(each)
    assert merkle.root_of(hashes).hex() == frontier.root.hex() == ROOTS[size]


SIZES = st.integers(1, 70)


def tree(size: int) -> tuple[list[bytes], merkle.Subtree]:
    leaves = [bytes([number]) * 3 for number in range(size)]
    return leaves, lambda start, end: mth(leaves[start:end])


@settings(max_examples=200, deadline=None)
@given(SIZES, st.data())
def test_proofs_of_inclusion(size: int, data: st.DataObject) -> None:
    leaves, subtree = tree(size)
    index = data.draw(st.integers(0, size - 1))
    found = merkle.inclusion_proof(index, size, subtree)
    assert found == path(index, leaves)
    leaf = merkle.leaf_hash(leaves[index])
    assert merkle.root_by_inclusion(index, size, leaf, found) == mth(leaves)
    # No other index, no other leaf and no other length leads to the same root.
    other = data.draw(st.integers(0, size - 1).filter(lambda each: each != index)) if size > 1 else None
    if other is not None:
        assert not leads(other, size, leaf, found, mth(leaves))
    assert not leads(index, size, merkle.leaf_hash(b"other"), found, mth(leaves))
    assert not leads(index, size, leaf, [*found, b"\0" * 32], mth(leaves))
    if found:
        assert not leads(index, size, leaf, found[:-1], mth(leaves))


def leads(index: int, size: int, leaf: bytes, found: list[bytes], root: bytes) -> bool:
    try:
        return merkle.root_by_inclusion(index, size, leaf, found) == root
    except ProofWrong:
        return False


@settings(max_examples=300, deadline=None)
@given(SIZES, st.data())
def test_proofs_of_consistency(new: int, data: st.DataObject) -> None:
    leaves, subtree = tree(new)
    old = data.draw(st.integers(1, new))
    found = merkle.consistency_proof(old, new, subtree)
    assert found == proof(old, leaves)
    merkle.check_consistency(old, mth(leaves[:old]), new, mth(leaves), found)
    altered = [b"other", *leaves[1:old]]
    with pytest.raises(ProofWrong):
        merkle.check_consistency(old, mth(altered), new, mth(leaves), found)
    with pytest.raises(ProofWrong):
        merkle.check_consistency(old, mth(leaves[:old]), new, mth([*leaves[:-1], b"other"]), found)
    with pytest.raises(ProofWrong):
        merkle.check_consistency(old, mth(leaves[:old]), new, mth(leaves), [*found, b"\0" * 32])
    if found:
        with pytest.raises(ProofWrong):
            merkle.check_consistency(old, mth(leaves[:old]), new, mth(leaves), found[:-1])
    for size in {1, old, new}:
        frontier = merkle.Frontier()
        for each in leaves[:size]:
            frontier.append(merkle.leaf_hash(each))
        assert frontier.root == mth(leaves[:size])


def test_an_index_beyond_the_tree() -> None:
    _, subtree = tree(3)
    with pytest.raises(ValueError, match="has none with index 3"):
        merkle.inclusion_proof(3, 3, subtree)
    with pytest.raises(ValueError, match="no start of 4"):
        merkle.consistency_proof(4, 3, subtree)
    with pytest.raises(ProofWrong, match="does not continue"):
        merkle.check_consistency(4, b"", 3, b"", [])
