"""The versions of a repository: what each sync left, in records and metadata of our own.

repositories/REPO/versions/N/version.json           records.VersionRecord
repositories/REPO/versions/N/packages.jsonl.zst     one records.Package a line
repositories/REPO/versions/N/metadata/              primary, filelists, other, updateinfo: normalised, .xml.zst
repositories/REPO/versions/N/received/              repomd.xml, its signature and key, metadata as received
repositories/REPO/current                           symbolic link to the newest version
"""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from pulp_worker import OperationError

from pulp_operations.fences import fenced
from pulp_operations.layout import checksum_of, file_name, flush, make_current, numbered, remove_older, repo_id_of
from pulp_operations.records import ContentCounts, FeedSource, Package, VersionRecord

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION_FILE: Final = "version.json"
PACKAGES_FILE: Final = "packages.jsonl.zst"
METADATA: Final = "metadata"
RECEIVED: Final = "received"
_OLD_FILE: Final = "repository.json"
OLD_METADATA: Final = "repodata"
"""The files of a version of format 0."""


class _OldPackage(msgspec.Struct):
    href: str
    algorithm: str
    checksum: str
    size_bytes: int
    base_url: str = ""


class _OldVersion(msgspec.Struct):
    version: int
    token: int
    packages: list[_OldPackage]


class DamagedVersion(OperationError):
    """A version's record cannot be read, so no content may count as unused: `damaged-version`."""

    def __init__(self, folder: Path, name: str, reason: str) -> None:
        repository, number = folder.parent.parent.name, folder.name
        cure = "Repair or sync it" if name == PACKAGES_FILE else "Remove it with remove-repository, and sync it again"
        super().__init__(
            "damaged-version",
            f"{name} of version {number} of repository {repo_id_of(repository)!r} cannot be read: {reason}. {cure}; or"
            f" put repositories/{repository}/versions/{number} in the folder PULP_STORAGE back from a backup",
        )


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version in the store. `version.format` is 0 where a release before wrote it: see `conversion`."""

    folder: Path
    version: VersionRecord

    def packages(self) -> Iterator[Package]:
        """Its packages in the order of the metadata, one at a time; all of them.

        Raises `DamagedVersion` where the list of them is damaged, missing or too short.
        """
        if self.version.format == 0:
            with _readable(self.folder, _OLD_FILE):
                yield from map(_renewed, _old_version(self.folder).packages)
            return
        count = 0
        for package in packages_in(self.folder):
            count += 1
            yield package
        if count != self.version.counts.packages:
            raise DamagedVersion(self.folder, PACKAGES_FILE, "it is too short")

    def damage(self) -> list[str]:
        """The paths of our own files that are missing or have changed. Reads them, so call it in a thread."""
        return [path for path, checksum in self.version.files.items() if not _is_file(self.folder / path, checksum)]


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one repository; `root` is the store's folder."""

    root: Path
    repo_id: str

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return self.root / "repositories" / file_name(self.repo_id)

    def newest(self) -> StoredVersion | None:
        """The newest version; None before the first sync. Raises `DamagedVersion` if its record is lost."""
        link = self.folder / "current"
        return _held(link.resolve()) if link.is_symlink() else None

    def all(self) -> Iterator[StoredVersion]:
        """Every kept version, oldest first. Raises `DamagedVersion` rather than take one for empty."""
        damaged: list[DamagedVersion] = []
        for held in self.readable(damaged.append):
            if damaged:
                break
            yield held
        if damaged:
            raise damaged[0]

    def readable(self, tell: Callable[[DamagedVersion], None]) -> Iterator[StoredVersion]:
        """Every kept version whose record can be read, oldest first; `tell` gets the errors of the others."""
        link = self.folder / "current"
        folders = numbered(self.folder / "versions")
        current = self.folder / link.readlink() if link.is_symlink() else None
        if current is not None and current not in folders:
            folders.append(current)  # its folder is lost
        for folder in folders:
            try:
                held = _held(folder)
            except DamagedVersion as error:
                if folder.exists() or folder == current:  # else a sync has removed it meanwhile
                    tell(error)
            else:
                yield held

    def save(self, prepared: Path, version: VersionRecord, *, keep: int) -> VersionRecord:
        """Move the prepared folder into place as the newest version, and keep `keep` versions; returns the saved
        version with its number.

        Raises `OperationError` (`fenced`) if a task with a higher fencing token has already written.
        """
        with fenced(self.root, self.repo_id, version.token):
            held = self.newest()
            number = 1 if held is None else held.version.number + 1
            saved = msgspec.structs.replace(version, number=number, files=_own_files(prepared))
            write_version(prepared, saved)
            for path in filter(Path.is_file, prepared.rglob("*")):
                flush(path)
            target = self.folder / "versions" / str(number)
            make_current(prepared, target, self.folder / "current")
            remove_older(target.parent, target, keep)
            return saved

    def retain(self, keep: int, token: int, source: FeedSource | None = None) -> None:
        """Keep the newest `keep` versions; the last one gets `source`, if given. Raises as `save` does."""
        with fenced(self.root, self.repo_id, token):
            held = self.newest()
            if held is None:
                return
            if source is not None and source != held.version.source:
                write_version(held.folder, msgspec.structs.replace(held.version, source=source))
            remove_older(held.folder.parent, held.folder, keep)

    def renew(self, held: StoredVersion, prepared: Path, counts: ContentCounts) -> StoredVersion:
        """Replace our own files of a version by the same ones, written again from the received metadata."""
        for path in sorted((prepared / METADATA).iterdir()):
            (held.folder / METADATA).mkdir(exist_ok=True)
            path.replace(held.folder / METADATA / path.name)
        (prepared / PACKAGES_FILE).replace(held.folder / PACKAGES_FILE)
        version = msgspec.structs.replace(held.version, counts=counts, files=_own_files(held.folder))
        write_version(held.folder, version)
        return StoredVersion(held.folder, version)

    def convert(self, held: StoredVersion, prepared: Path, version: VersionRecord) -> StoredVersion:
        """Move the normalised files into the folder of a version that an earlier release wrote. Raises as `save`
        does."""
        with fenced(self.root, self.repo_id, version.token):
            for name in (METADATA, RECEIVED, PACKAGES_FILE):
                shutil.rmtree(held.folder / name, ignore_errors=True)  # left by a crash
                if (prepared / name).exists():
                    (prepared / name).rename(held.folder / name)
            saved = msgspec.structs.replace(version, files=_own_files(held.folder))
            write_version(held.folder, saved)  # from here on it is read as converted
            (held.folder / _OLD_FILE).unlink(missing_ok=True)
            shutil.rmtree(held.folder / OLD_METADATA, ignore_errors=True)
        return StoredVersion(held.folder, saved)


def packages_in(folder: Path) -> Iterator[Package]:
    """The packages of a version, in the order of the metadata, one at a time. Raises `DamagedVersion`."""
    decoder = msgspec.json.Decoder(Package)
    with _readable(folder, PACKAGES_FILE):
        if (folder / PACKAGES_FILE).stat().st_size == 0:
            return  # zstd writes no frame for empty content
    with _readable(folder, PACKAGES_FILE), zstd.open(folder / PACKAGES_FILE, "rb") as lines:
        yield from map(decoder.decode, lines)


def write_version(folder: Path, version: VersionRecord) -> None:
    """Write version.json, whole or not at all."""
    draft = folder / f"{VERSION_FILE}.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(version))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / VERSION_FILE)


def _own_files(folder: Path) -> dict[str, str]:
    paths = sorted((*(folder / METADATA).glob("*"), folder / PACKAGES_FILE))
    return {str(path.relative_to(folder)): checksum_of(path, "sha256") for path in paths}


def _is_file(path: Path, checksum: str) -> bool:
    try:
        return checksum_of(path, "sha256") == checksum
    except FileNotFoundError:
        return False


def _held(folder: Path) -> StoredVersion:
    if (folder / VERSION_FILE).exists() or not (folder / _OLD_FILE).exists():
        with _readable(folder, VERSION_FILE):
            return StoredVersion(folder, msgspec.json.decode((folder / VERSION_FILE).read_bytes(), type=VersionRecord))
    with _readable(folder, _OLD_FILE):
        old = _old_version(folder)
    counts = msgspec.structs.replace(VersionRecord(number=0, token=0, feed_key="").counts, packages=len(old.packages))
    return StoredVersion(
        folder, VersionRecord(number=old.version, token=old.token, feed_key="", counts=counts, format=0)
    )


@contextmanager
def _readable(folder: Path, name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, EOFError, ValueError, zstd.ZstdError) as error:
        reason = "it is missing" if isinstance(error, FileNotFoundError) else "it is damaged"
        raise DamagedVersion(folder, name, reason) from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedVersion(folder, name, os.strerror(errno.EIO)) from error


def _old_version(folder: Path) -> _OldVersion:
    return msgspec.json.decode((folder / _OLD_FILE).read_bytes(), type=_OldVersion)


def _renewed(old: _OldPackage) -> Package:
    name = os.path.basename(old.href).removesuffix(".rpm")
    return Package(
        name=name,
        href=old.href,
        base_url=old.base_url,
        algorithm=old.algorithm,
        checksum=old.checksum,
        size_bytes=old.size_bytes,
        location=f"Packages/{old.checksum}.rpm",
    )
