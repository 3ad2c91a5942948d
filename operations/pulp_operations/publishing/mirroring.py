"""Publishing metadata unchanged, so that its signature stays valid."""

import posixpath
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from pulp_operations.layout import checksum_of
from pulp_operations.publishing.carrying import DELTAS
from pulp_operations.publishing.errors import damaged_version, not_mirrorable
from pulp_operations.publishing.packing import REPODATA
from pulp_operations.publishing.placing import RECORD, link_into, place
from pulp_operations.records import MetadataFile, Note, Package, VersionRecord
from pulp_operations.versions import RECEIVED

_DELTAS_MISS: Final = "kept as it is, but the delta packages in it are not mirrored: clients fetch whole packages"
_SIGNED: Final = ("repomd.xml", "repomd.xml.asc", "repomd.xml.key")


def mirror_repodata(version: VersionRecord, source: Path, named: list[MetadataFile], publication: Path) -> list[Note]:
    """Link repomd.xml, its signature and key, and all files that repomd.xml names, to the places they have in the feed.

    Returns the named files that clients will not find. `named` is what the received repomd.xml names. Raises
    `OperationError`: `not-mirrorable` if the publication would be incomplete, `damaged-version` if a file of the
    version has changed.
    """
    received = source / RECEIVED
    if version.mode == "additive":
        raise not_mirrorable("its version is additive: it holds more packages than the feed's metadata names")
    if not (received / _SIGNED[0]).is_file():
        raise not_mirrorable("its version holds no repomd.xml of the feed: sync it again")
    if checksum_of(received / _SIGNED[0], "sha256") != version.repomd_checksum:
        raise damaged_version("repomd.xml is not what the feed gave")
    for name in _SIGNED:
        if (received / name).is_file():
            link_into(received / name, publication / REPODATA / name)
    held = {entry.own_name for entry in version.entries}
    for entry in named:
        if entry.own_name not in held:
            raise not_mirrorable(
                f"repomd.xml names {entry.shown_type} metadata, which was not fetched: sync it with metadata=mirror"
            )
        _mirror(received, entry, publication)
    return [Note(what=f"{entry.shown_type} metadata", reason=_DELTAS_MISS) for entry in named if entry.type in DELTAS]


def _mirror(received: Path, entry: MetadataFile, publication: Path) -> None:
    what = f"its {entry.shown_type} metadata"
    path = mirrored_path(entry.href, entry.base_url)
    target = None if path is None else place(publication, path)
    if target is None:
        raise not_mirrorable(f"{what} is outside of the repository's folder, or has no usable name")
    is_taken = False
    try:
        link_into(received / entry.own_name, target)
    except FileExistsError:
        is_taken = True  # two entries may name one file: the comparison detects a different one
    except NotADirectoryError:
        raise not_mirrorable(f"{what} is where another file is") from None
    except FileNotFoundError:
        raise damaged_version(f"{what} is not there") from None
    if not target.is_file() or checksum_of(target, entry.algorithm) != entry.checksum:
        if is_taken:
            raise not_mirrorable(f"{what} is where another file is")
        raise damaged_version(f"{what} is not what the feed gave")


def package_path(package: Package) -> str:
    """The location of the package in the received metadata. Raises `OperationError` (`not-mirrorable`)."""
    path = mirrored_path(package.href, package.base_url)
    if path is None:
        raise not_mirrorable("a package is outside of the repository's folder, or has no usable name")
    return path


def mirrored_path(href: str, base_url: str) -> str | None:
    """The path below the repository at which a web server finds an href; None if it is elsewhere."""
    if base_url or not href or "?" in href or "#" in href:
        return None
    path = posixpath.normpath(unquote(href))
    is_outside = path.startswith(("/", "../")) or path in ("..", ".") or "://" in href or "\0" in path
    return None if is_outside or path.split("/")[0] == RECORD else path
