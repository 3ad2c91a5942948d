"""Turning the metadata of a feed into our own, once: whatever works on a repository later reads only that."""

from msgspec import Struct

from pulp_operations.reading.unpacked import UnpackLimits
from pulp_operations.records import Counts, MetadataFile, Note


class Normalising(Struct, frozen=True, kw_only=True):
    """How metadata is normalised.

    `algorithms` are the checksums that packages may have, by hashlib's names. `base` is the folder of a version whose
    packages and advisories follow those of the feed that it has not.
    """

    limits: UnpackLimits
    algorithms: frozenset[str]
    base: str | None = None


class Normalised(Struct, frozen=True, kw_only=True):
    """What was found. `notes` are the first ones, `notes_total` counts all."""

    counts: Counts
    notes: list[Note]
    notes_total: int


def normalise(received: str, entries: list[MetadataFile], target: str, options: Normalising) -> Normalised:
    """Write target/packages.jsonl.zst and target/metadata/ from the files in `received`, each under its `own_name`.

    Packages are those of primary, in its order, each once. What filelists and other say of them is joined by checksum.
    Raises `LimitExceeded`, and `OperationError` (`bad-repository`) for a document that is damaged, that has fewer
    packages than it promises, or a package that cannot be used; what no client needs becomes a note.
    """
    raise NotImplementedError
