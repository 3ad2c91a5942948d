"""How folders and files of the store are named, and how a new one becomes visible atomically.

Only numbers, checksums, our own words and escaped repository ids name files here.
"""

import errno
import hashlib
import os
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from pulp_worker import OperationError

_CHUNK_BYTES: Final = 1024 * 1024
_MOST_NAME_BYTES: Final = 200
DISCARDED: Final = ".removed"
"""The suffix of a folder that is being removed."""


def file_name(repo_id: str) -> str:
    """The file name of a repository; no two have the same. Raises `OperationError` if it were too long."""
    name = quote(repo_id, safe="").replace(".", "%2E")
    if len(name) > _MOST_NAME_BYTES:
        raise OperationError("bad-argument", "argument 'repo_id': too long for the name of a folder")
    return name


def repo_id_of(name: str) -> str:
    """The repository that has this file name."""
    return unquote(name)


def checksum_of(path: Path, algorithm: str) -> str:
    """The checksum of a file; `algorithm` is hashlib's name."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the content of `source`, by a hard link if the file system can.

    Raises `FileNotFoundError` if `source` does not exist, and `FileExistsError` if `target` does.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV):
            raise
        with source.open("rb") as given, target.open("xb") as made:
            shutil.copyfileobj(given, made, _CHUNK_BYTES)


def numbered(folder: Path) -> list[Path]:
    """The entries of the folder that are numbers, in order."""
    found = [path for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def make_current(prepared: Path, target: Path, link: Path) -> None:
    """Move a complete folder to `target` and point the link at it. A crash leaves the old or the new state.

    The files in the folder must be on the disk already, so that a loss of power leaves none of them empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    discard(target)  # left by a crash before the link was switched
    prepared.rename(target)
    draft = link.with_name(f"{link.name}.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(os.path.relpath(target, link.parent))
    draft.replace(link)
    flush(target.parent)
    flush(link.parent)


def flush(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_older(folder: Path, newest: Path, keep: int) -> None:
    """Remove numbered entries of the folder so that `keep` are left, `newest` the last of them.

    An entry above `newest` is left from a crash, and goes too.
    """
    older = [path for path in numbered(folder) if int(path.name) < int(newest.name)]
    stale = [path for path in numbered(folder) if int(path.name) > int(newest.name)]
    for path in (*older[: max(0, len(older) - keep + 1)], *stale):
        discard(path)


def discard(folder: Path) -> None:
    """Remove a folder if it exists. It disappears atomically: a crash leaves no part of it under its name."""
    doomed = folder.with_name(f"{folder.name}{DISCARDED}")
    shutil.rmtree(doomed, ignore_errors=True)  # left by a crash
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)
