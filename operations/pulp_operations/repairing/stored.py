"""The stored files of a version, and whether each is unchanged."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulp_operations.damage import is_set_aside
from pulp_operations.foreign import is_ordinary
from pulp_operations.layout import checksum_of
from pulp_operations.publishing.record import read_record
from pulp_operations.records import FeedSource, MetadataFile, Package, StoredFile
from pulp_operations.store import Store
from pulp_operations.versions import RECEIVED, StoredVersion

Condition = Literal["good", "damaged", "missing"]


@dataclass(frozen=True, slots=True)
class TableOfContents:
    """The repomd.xml that a version was made from."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file that we have written for a version from the received ones."""

    name: str
    held: StoredVersion


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that we have written for a publication, such as its repomd.xml."""

    name: str


Origin = Package | StoredFile | MetadataFile | TableOfContents | OwnFile | PublishedFile


@dataclass(frozen=True, slots=True)
class SurveyedFile:
    """A stored file. `size_bytes` is None if it is unknown.

    `folder` is the version, or the publication, that holds it; `source` is where it was fetched from.
    """

    repo_id: str
    folder: Path
    source: FeedSource | None
    path: Path
    algorithm: str
    checksum: str
    size_bytes: int | None
    origin: Origin

    @property
    def name(self) -> str:
        """Its name in messages, without unusual text of a repository."""
        match self.origin:
            case Package(name=name) | StoredFile(path=name):
                return name if is_ordinary(name) else f"the file with checksum {self.checksum}"
            case OwnFile(name=name) | PublishedFile(name=name):
                return name if is_ordinary(name) else "a file"
            case MetadataFile() as entry:
                return f"{entry.shown_type} metadata"
            case TableOfContents():
                return "repomd.xml"

    @property
    def is_content(self) -> bool:
        """Whether it is a package or a file of a tree, which versions and repositories share."""
        return isinstance(self.origin, Package | StoredFile)


def content_items(store: Store, repo_id: str, held: StoredVersion) -> Iterator[SurveyedFile]:
    """The packages of a version, and the files of its tree. Raises `DamagedVersion` if their list is damaged."""
    for content in _contents(held):
        path = store.content_path(content)
        source, size_bytes = held.version.source, content.size_bytes
        yield SurveyedFile(repo_id, held.folder, source, path, content.algorithm, content.checksum, size_bytes, content)


def metadata_items(repo_id: str, held: StoredVersion) -> Iterator[SurveyedFile]:
    """The metadata of a version: first as it was received, then our own."""
    version, received = held.version, held.folder / RECEIVED

    def item(path: Path, algorithm: str, checksum: str, size_bytes: int | None, origin: Origin) -> SurveyedFile:
        return SurveyedFile(repo_id, held.folder, version.source, path, algorithm, checksum, size_bytes, origin)

    if version.repomd_checksum:
        yield item(received / "repomd.xml", "sha256", version.repomd_checksum, None, TableOfContents())
    if version.format:
        for entry in version.entries:
            yield item(received / entry.own_name, entry.algorithm, entry.checksum, entry.size_bytes, entry)
    for name, checksum in version.files.items():
        yield item(held.folder / name, "sha256", checksum, None, OwnFile(name, held))


def published_items(store: Store, repo_id: str) -> Iterator[SurveyedFile]:
    """The files that we have written for the newest publication; its packages are those of the store."""
    link = store.publication_link(repo_id)
    record = read_record(link) if link.exists() else None
    if record is not None:
        folder = link.resolve()
        for name, checksum in record.files.items():
            yield SurveyedFile(repo_id, folder, None, folder / name, "sha256", checksum, None, PublishedFile(name))


def condition(root: Path, item: SurveyedFile) -> Condition:
    """Reads every byte of the file. A file that an error of the disk keeps from being read is damaged.

    Content that was set aside is damaged too, though it is no longer in its place. Raises `OSError` for other reasons.
    """
    try:
        size_bytes = item.path.stat().st_size
        is_whole = item.size_bytes in (None, size_bytes)
        return "good" if is_whole and checksum_of(item.path, item.algorithm) == item.checksum else "damaged"
    except (FileNotFoundError, NotADirectoryError):
        return "damaged" if item.is_content and is_set_aside(root, item.path) else "missing"
    except OSError as error:
        if error.errno in (errno.EIO, errno.EISDIR):
            return "damaged"
        raise


def size_of(item: SurveyedFile) -> int:
    """Its size, recorded or found; 0 if it is missing."""
    if item.size_bytes is not None:
        return item.size_bytes
    try:
        return os.stat(item.path).st_size
    except OSError:
        return 0


def _contents(held: StoredVersion) -> Iterator[Package | StoredFile]:
    yield from held.version.tree
    yield from held.packages()
