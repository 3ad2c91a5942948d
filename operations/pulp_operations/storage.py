"""Errors of the operating system on the workers' storage, in plain words: the place, the free space, and what to do."""

import errno
import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

from pulp_worker import Context, OperationError

from pulp_operations.foreign import is_ordinary

STORAGE_FULL: Final = "storage-full"
STORAGE_FAILED: Final = "storage-failed"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_MAKE_ROOM: Final = (
    "Make room, with remove-orphans, remove-repository or a larger file system, and submit it again: it goes on with"
    " what it has fetched"
)
_CURES: Final = {
    errno.EROFS: "The file system is read-only: mount it for writing. The system's log says if an error of the disk"
    " made it so",
    errno.EACCES: "Give the folder to the user of the workers",
    errno.EPERM: "Give the folder to the user of the workers",
    errno.EIO: "The disk has an error: look into the system's log, replace the disk, and run repair",
    errno.EFBIG: "The file system, or a limit of the worker's process (ulimit -f), allows no file of that size",
    errno.EMFILE: "Let the worker open more files (ulimit -n)",
    errno.ENFILE: "Let the system open more files (fs.file-max)",
    errno.ENAMETOOLONG: "The file system allows shorter names only: 255 bytes are needed",
    errno.ESTALE: "The network file system has lost the folder: mount it again",
}
_IN_THE_WAY: Final = (
    "Something else has changed the storage. Put back what a backup has, run repair, and let only the workers write"
    " there"
)
_REPLACED: Final = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT, errno.ELOOP)
_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_SMALLEST_RESERVE_SHARE: Final = 20
_log = logging.getLogger("pulp.operations")


class StorageError(OperationError):
    """The system refuses something on the storage (`storage-full`, `storage-failed`): other files would fail, too."""


@contextmanager
def storage_errors(root: Path, place: Path | None = None, needed_bytes: int | None = None) -> Iterator[None]:
    """Turn a refusal by the operating system into a `StorageError`.

    `root` is the storage; `place` is reported if the error names no file, as for a write. `needed_bytes` is the size to
    be written, if known. Network errors pass unchanged.
    """
    try:
        yield
    except OSError as error:
        described = storage_error(error, root, place, needed_bytes)
        if described is None:
            raise
        _log.warning("the storage refused an operation", exc_info=error, extra={"code": described.code})
        raise described from error


def telling_storage_errors(function: Callable[[Context[Any]], Any]) -> Callable[[Context[Any]], Any]:
    """Wrap the function of an operation, plain or async, in `storage_errors`."""
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def told_async(context: Context[Any]) -> Any:
            with storage_errors(context.storage):
                return await function(context)

        return told_async

    @wraps(function)
    def told(context: Context[Any]) -> Any:
        with storage_errors(context.storage):
            return function(context)

    return told


def storage_error(
    error: OSError, root: Path, place: Path | None = None, needed_bytes: int | None = None
) -> StorageError | None:
    """The error in words; None if something else caused it, such as the network."""
    if type(error).__module__ != "builtins" or isinstance(error, TimeoutError | ConnectionError):
        return None  # the numbers of an `SSLError` have another meaning
    named = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    inside = next((path for path in named if path.is_relative_to(root)), None)
    number = error.errno
    if number in _FULL:
        where = _shown(root, inside or place)
        needed = "" if needed_bytes is None else f", {size_in_words(needed_bytes)} are needed"
        text = f"the storage is full: {where} cannot be written ({_reason(error)}); {_room(root)}{needed}. {_MAKE_ROOM}"
        return StorageError(STORAGE_FULL, text)
    if inside is None and (named or number not in _CURES):
        return None
    cure = _IN_THE_WAY if number in _REPLACED else _CURES.get(number or 0, "Mend it, and submit the task again")
    return StorageError(
        STORAGE_FAILED, f"the storage cannot be used: {_shown(root, inside or place)}: {_reason(error)}. {cure}"
    )


def check_room(root: Path, needed_bytes: int, reserve_bytes: int, what: str) -> None:
    """Raise `StorageError` (`storage-full`) if `needed_bytes` more would leave less than the reserve free.

    The reserve is at most a twentieth of the file system. `what` is to be stored, as in `the packages of zoo`.
    """
    found = os.statvfs(root)
    free_bytes, total_bytes = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    reserve_bytes = min(reserve_bytes, total_bytes // _SMALLEST_RESERVE_SHARE)
    if needed_bytes and needed_bytes > free_bytes - reserve_bytes:
        raise StorageError(
            STORAGE_FULL,
            f"the storage has too little room: {what} need {size_in_words(needed_bytes)}; {_room(root)}, of which"
            f" {size_in_words(reserve_bytes)} stay free (PULP_YUM_RESERVE_BYTES). None of it was fetched. {_MAKE_ROOM}",
        )


def size_in_words(size_bytes: int) -> str:
    """Such as `512 bytes` or `1.5 GiB`."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size_bytes} bytes" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def _room(root: Path) -> str:
    try:
        found = os.statvfs(root)
    except OSError:
        return "how much is free is not known"
    if found.f_files and not found.f_favail:
        return "no more files can be made, since the file system has no inodes left"
    free, total = (size_in_words(blocks * found.f_frsize) for blocks in (found.f_bavail, found.f_blocks))
    return f"{free} of {total} are free"


def _shown(root: Path, path: Path | None) -> str:
    """A path below the storage, up to the first unusual name: the name of a repository may be any text."""
    if path is None or not path.is_relative_to(root):
        return "the folder PULP_STORAGE"
    while not is_ordinary(str(path.relative_to(root))):
        path = path.parent
    shown = str(path.relative_to(root))
    return "the folder PULP_STORAGE" if shown == "." else f"{shown} in the folder PULP_STORAGE"


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
