"""Merkle trees as in RFC 6962, section 2.1: hashes, roots, and proofs. Pure."""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from pulp_transparency.errors import ProofWrong

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
Subtree: TypeAlias = Callable[[int, int], bytes]
"""The root of the leaves from the first index up to, not including, the second one."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of a tree with these leaf hashes; also of a subtree above these nodes of one level."""
    return joined(peaks_of(hashes)) if hashes else EMPTY_ROOT


def peaks_of(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the largest complete subtrees, from the left, into which the nodes divide."""
    peaks: list[bytes] = []
    start = 0
    while left := len(hashes) - start:
        width = 1 << (left.bit_length() - 1)
        peaks.append(_complete(hashes[start : start + width]))
        start += width
    return peaks


def joined(peaks: Iterable[bytes]) -> bytes:
    """The root above the roots of complete subtrees that become smaller from left to right. At least one."""
    *others, root = peaks
    for peak in reversed(others):
        root = node_hash(peak, root)
    return root


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """The audit path of a leaf in a tree of `size`, from its sibling upwards (RFC 6962, section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has none with index {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """What shows that a tree of `old` leaves is the start of one of `new` (RFC 6962, section 2.1.2).

    Empty if the sizes are equal or the old tree has no leaf.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves has no start of {old}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end, is_whole = 0, new, True
    while (size := old - start) != end - start:
        middle = start + _split(end - start)
        if size <= middle - start:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(start, middle))
            start, is_whole = middle, False
    if not is_whole:
        path.append(subtree(start, end))
    return path[::-1]


def root_by_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root to which an audit path leads from the hash of a leaf. Raises `ProofWrong` for a path of another length.

    The algorithm of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise ProofWrong(f"a tree of {size} leaves has none with index {index}")
    node, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ProofWrong("the proof has more hashes than the tree has levels")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofWrong("the proof has fewer hashes than the tree has levels")
    return root


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Raises `ProofWrong` unless the path shows that the old tree is the start of the new one.

    The algorithm of RFC 9162, section 2.1.4.2.
    """
    if old > new:
        raise ProofWrong(f"a log of {new} records does not continue one of {old}")
    if old in (0, new):
        if path or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise ProofWrong("the two roots differ, or the proof is longer than it may be")
        return
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        raise ProofWrong("the proof is empty")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise ProofWrong("the proof has more hashes than the tree has levels")
        if node & 1 or node == last:
            first, second = node_hash(each, first), node_hash(each, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, each)
        node, last = node >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise ProofWrong("the newer log does not continue the older one")


def _split(size: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << ((size - 1).bit_length() - 1)


def _complete(hashes: Sequence[bytes]) -> bytes:
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


class Frontier:
    """A tree that only grows: the hashes needed to add leaves and to compute the root."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        width, node = 1, leaf
        while self._peaks and self._peaks[-1][0] == width:
            node = node_hash(self._peaks.pop()[1], node)
            width *= 2
        self._peaks.append((width, node))
        self.size += 1

    @property
    def root(self) -> bytes:
        """The root now."""
        return joined(peak for _, peak in self._peaks) if self._peaks else EMPTY_ROOT
