"""A publication's own record, `.publication.json`: its inputs, and the old files that it keeps for late readers.

A client that read repomd.xml just before a publish still reads the files that it names, so a publication keeps those of
earlier publications: their metadata, whose names contain checksums, and removed packages.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from pulp_operations.layout import checksum_of
from pulp_operations.publishing.packing import REPODATA
from pulp_operations.publishing.placing import RECORD, link_into, place
from pulp_operations.records import Note

_FORMAT: Final = 1
"""Increase this number if the same version gives a different publication than with the release before."""
_ENTRANCE: Final = tuple(f"{REPODATA}/repomd.xml{suffix}" for suffix in ("", ".asc", ".key"))
"""Files that every generation has under the same name."""


class PublicationPlan(Struct, frozen=True, kw_only=True):
    """Everything that decides the bytes of a publication."""

    version: int
    token: int
    compression: Literal["gzip", "zstd"]
    metadata: Literal["regenerate", "mirror"]
    names: list[str] | None = None
    key: bytes = b""
    """The public key of the signature."""
    format: int = _FORMAT

    @property
    def digest(self) -> str:
        """A digest; equal plans have equal digests."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class Record(Struct, frozen=True, kw_only=True):
    """The record of a publication. Paths are relative to its folder."""

    plan: str
    version: int
    packages: int
    size_bytes: int
    files: dict[str, str]
    """The checksums (SHA-256) of its files that are neither packages nor files of a tree."""
    chosen: list[str] | None = None
    """The checksums of its packages, if not all are published."""
    tree: list[str] = []
    """The files of the installable tree that exist."""
    notes: list[Note] = []
    kept: dict[str, int] = {}
    """Files of earlier publications, and how many publications ago each was of the newest."""


def read_record(publication: Path) -> Record | None:
    """None if the record is missing or unreadable: such a publication never counts as unchanged."""
    try:
        return msgspec.json.decode((publication / RECORD).read_bytes(), type=Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def write_record(publication: Path, record: Record) -> None:
    """Write the record, as the publication's last file."""
    (publication / RECORD).write_bytes(msgspec.json.encode(record))


def checksums_below(publication: Path) -> dict[str, str]:
    """The existing files with their SHA-256."""
    return {path: checksum_of(publication / path, "sha256") for path in sorted(_files(publication))}


def is_intact(publication: Path, record: Record) -> bool:
    """Whether these files exist unchanged."""
    try:
        return all(checksum_of(publication / path, "sha256") == digest for path, digest in record.files.items())
    except OSError:
        return False


def keep_earlier(previous: Path, publication: Path, generations: int) -> dict[str, int]:
    """Link files of the last generations into a new publication, unless it has one of the same name.

    Returns the age of each.
    """
    record = read_record(previous)
    before = {} if record is None else record.kept
    kept = {}
    for path in _files(previous):
        age = before.get(path, 0) + 1
        target = place(publication, path)
        if age >= generations or path in _ENTRANCE or target is None:
            continue
        # Taken by a file of the new publication, or in the way of one of its folders: then that one counts.
        with contextlib.suppress(FileExistsError, NotADirectoryError, FileNotFoundError):
            link_into(previous / path, target)
            kept[path] = age
    return kept


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        yield from (str(inside / name) for name in names)
