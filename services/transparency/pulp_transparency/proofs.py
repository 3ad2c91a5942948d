"""Proofs as files: that a record is in the log (C2SP tlog-proof), and that a log continues an earlier one.

`examples/check_proof.py` checks both, and imports nothing from this package.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from pulp_transparency import merkle
from pulp_transparency.checkpoint import Checkpoint
from pulp_transparency.entry import LogEntry
from pulp_transparency.errors import NotLogged, ProofWrong
from pulp_transparency.keys import KeyRing
from pulp_transparency.note import decoded, split
from pulp_transparency.tiles import LogTree

_INCLUSION: Final = "c2sp.org/tlog-proof@v1"
_CONSISTENCY: Final = "pulp-tasks/consistency-proof@v1"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The proof that an entry is in the log, at an index."""

    entry: bytes
    index: int
    path: tuple[bytes, ...]
    note: str
    """The signed checkpoint that it leads to."""

    @classmethod
    def of(cls, tree: LogTree, note: str, offset: int) -> Self:
        """The proof for the record with this offset. Raises `NotLogged`, `TileFault`."""
        index = tree.index_of(offset)
        if index is None:
            raise NotLogged(_why_not(tree, offset))
        return cls(tree.entry(index).encode(), index, tuple(tree.inclusion(index)), note)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The proof of its text. Raises `ProofWrong`."""
        head, gap, note = text.partition("\n\n")
        lines = head.split("\n")
        try:
            if not gap or len(lines) < 3 or lines[0] != _INCLUSION or not lines[1].startswith("extra "):
                raise ValueError("its first lines are wrong")
            word, _, index = lines[2].partition(" ")
            if word != "index" or str(int(index)) != index:
                raise ValueError("its index is wrong")
            return cls(decoded(lines[1].removeprefix("extra ")), int(index), tuple(map(decoded, lines[3:])), note)
        except (ValueError, binascii.Error) as error:
            raise ProofWrong(f"not a proof of inclusion: {error}") from error

    def text(self) -> str:
        """The file. Its extra data is the entry, which the checker recomputes from the record."""
        lines = [_INCLUSION, f"extra {_text(self.entry)}", f"index {self.index}", *map(_text, self.path)]
        return "\n".join(lines) + "\n\n" + self.note

    def check(self, ring: KeyRing) -> LogEntry:
        """The entry that is proven to be in the log. Raises `ProofWrong`, `NoteError`, `RecordsFault`."""
        entry = LogEntry.decode(self.entry)
        checkpoint = ring.open(self.note, entry.partition)
        root = merkle.root_by_inclusion(self.index, checkpoint.size, merkle.leaf_hash(self.entry), self.path)
        if root != checkpoint.root:
            raise ProofWrong("the proof does not lead to the root of its checkpoint")
        return entry


class Consistency(NamedTuple):
    """The proof that the log of one checkpoint continues the log of another."""

    path: tuple[bytes, ...]
    old: str
    new: str

    @classmethod
    def of(cls, tree: LogTree, note: str, old: str) -> Self:
        """The proof from an earlier checkpoint to that of the tree. Raises `ProofWrong`, `TileFault`."""
        start, end = Checkpoint.parse(split(old)[0]), Checkpoint.parse(split(note)[0])
        if start.origin != end.origin:
            raise ProofWrong(f"{start.origin} and {end.origin} are two logs")
        if start.size > end.size:
            raise ProofWrong(f"the earlier checkpoint has {start.size} records, and the log {end.size}")
        path = tuple(tree.consistency(start.size))
        merkle.check_consistency(start.size, start.root, end.size, end.root, path)
        return cls(path, old, note)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The proof of its text. Raises `ProofWrong`."""
        head, gap, rest = text.partition("\n\n")
        kind, *lines = head.split("\n")
        try:
            if not gap or kind != _CONSISTENCY or not lines[0].startswith("old "):
                raise ValueError("its first lines are wrong")
            lengths = int(lines[0].removeprefix("old "))
            data = rest.encode()
            return cls(tuple(map(decoded, lines[1:])), data[:lengths].decode(), data[lengths:].decode())
        except (ValueError, IndexError, binascii.Error) as error:
            raise ProofWrong(f"not a proof of consistency: {error}") from error

    def text(self) -> str:
        """The file. `old` says how many bytes the older checkpoint has; the newer one follows it."""
        lines = [_CONSISTENCY, f"old {len(self.old.encode())}", *map(_text, self.path)]
        return "\n".join(lines) + "\n\n" + self.old + self.new

    def check(self, ring: KeyRing, partition: int) -> tuple[Checkpoint, Checkpoint]:
        """The two checkpoints; the second one continues the first. Raises `ProofWrong`, `NoteError`."""
        old, new = ring.open(self.old, partition), ring.open(self.new, partition)
        merkle.check_consistency(old.size, old.root, new.size, new.root, self.path)
        return old, new


def _why_not(tree: LogTree, offset: int) -> str:
    if tree.size and offset <= tree.entry(tree.size - 1).offset:
        return f"the log has no record with offset {offset}: Kafka leaves gaps, and the log may begin later"
    return f"the log does not cover offset {offset} yet: its last checkpoint has {tree.size} records"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
