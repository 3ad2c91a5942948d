"""Checkpoints (C2SP tlog-checkpoint): the size and the root of a log, in a signed note. Pure."""

import base64
import binascii
from typing import Final, NamedTuple, Self

from pulp_transparency.errors import NoteMalformed
from pulp_transparency.merkle import EMPTY_ROOT, HASH_BYTES
from pulp_transparency.note import NoteSigner, decoded

_LARGEST: Final = (1 << 63) - 1


class Checkpoint(NamedTuple):
    """What a log was when it had `size` records."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse the text of a note. Further lines are allowed, and ignored. Raises `NoteMalformed`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
            raise NoteMalformed("not a checkpoint: the lines origin, size and root are expected")
        origin, size, encoded = lines[:3]
        if not (size.isascii() and size.isdecimal()) or str(int(size[:20])) != size or int(size) > _LARGEST:
            raise NoteMalformed(f"{size[:30]!r} is not the size of a log")
        try:
            root = decoded(encoded)
        except (ValueError, binascii.Error):
            root = b""
        if len(root) != HASH_BYTES:
            raise NoteMalformed(f"{encoded[:60]!r} is not the root of a log: 32 bytes in base64 are expected")
        if size == "0" and root != EMPTY_ROOT:
            raise NoteMalformed("the root of an empty log is the hash of nothing")
        return cls(origin, int(size), root)

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, signer: NoteSigner) -> str:
        """The note."""
        return signer.sign(self.text)


def origin_of(name: str, partition: int) -> str:
    """The origin of a partition's log, which is also the name of its key, because each partition has its own log."""
    return f"{name}/{partition}"
