"""Private folders and files: opened by descriptor, checked after opening, never followed through a link."""

import errno
import json
import os
import pwd
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from pulp_deploy.errors import NotOurs

RECORD_BYTES: Final = 4096
"""Records are padded to a multiple of this, so that the next one fits even on a full disk."""
_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASSING: Final = _FOLDER | getattr(os, "O_PATH", os.O_RDONLY)
"""On Linux, a folder can be entered without being readable."""
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # do not block on a FIFO
_NO_FOLDER: Final = (errno.ENOTDIR, errno.ELOOP, errno.EMLINK)
"""The errors of opening a link with O_NOFOLLOW: they differ between systems."""
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_ASIDE: Final = re.compile(r"\..+\.[0-9a-f]{8}|(data|server|password)\.[0-9a-f]{8}|format\.properties|.+\.new")


def resolved(path: Path) -> Path:
    """The absolute path without links. Raises `NotOurs` for a link that belongs to neither root nor us."""
    path = path.absolute()
    for each in (*reversed(path.parents), path):
        with suppress(FileNotFoundError):
            found = each.lstat()
            if stat.S_ISLNK(found.st_mode):
                if found.st_uid not in (0, os.geteuid()):
                    raise NotOurs(f"{each} is a symbolic link that {_name(found.st_uid)} made: it is not followed")
                return resolved(each.parent / os.readlink(each) / path.relative_to(each))
    return Path(os.path.normpath(path))


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder of ours. No component of the path may be a link.

    Raises `NotOurs` for a link, another owner, or a folder that others may write to.
    """
    folder = os.open("/", _PASSING)
    try:
        for name in path.absolute().parts[1:]:
            folder = _step(folder, name, path)
        check_owner(os.fstat(folder), path)
        folder = _step(folder, ".", path, os.O_RDONLY | _FOLDER)
        yield folder
    finally:
        os.close(folder)


def make_folder(path: Path, mode: int = 0o700, owner: tuple[int, int] | None = None) -> None:
    """Create a folder and its missing parents with exactly this mode, whatever the umask. An existing folder gets the
    mode, and the owner (user and group) if given. Raises `NotOurs` for one that
    belongs to neither us nor that owner, or that holds something while others may write to it.
    """
    folder = os.open("/", _PASSING)
    try:
        for name in path.absolute().parts[1:]:
            try:
                folder = _step(folder, name, path)
            except FileNotFoundError:
                with suppress(FileExistsError):  # created by somebody else meanwhile: the owner is checked below
                    os.mkdir(name, mode, dir_fd=folder)
                folder = _step(folder, name, path, os.O_RDONLY | _FOLDER)
                os.fchmod(folder, mode)
        found = os.fstat(folder)
        if owner is None or found.st_uid != owner[0]:
            check_owner(found, path, is_closed=False)
        folder = _step(folder, ".", path, os.O_RDONLY | _FOLDER)
        if found.st_mode & 0o022 and os.listdir(folder):
            check_owner(found, path)
        if owner is not None:
            os.fchown(folder, *owner)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(folder, mode)
    finally:
        os.close(folder)


def close_folder(path: Path) -> None:
    """Make an existing folder of ours writable for nobody else. Raises `NotOurs` for another user's."""
    folder = os.open(path, os.O_RDONLY | _FOLDER)
    try:
        found = os.fstat(folder)
        check_owner(found, path, is_closed=False)
        if found.st_mode & 0o022:
            os.fchmod(folder, stat.S_IMODE(found.st_mode) & ~0o022)
    finally:
        os.close(folder)


def open_file(path: Path, flags: int) -> int:
    """A descriptor of a regular file of ours in a folder of ours; a new one has mode 0600.

    Raises `NotOurs` for a link, a FIFO or any other kind of file, a file with a second name, and another owner's.
    """
    with open_folder(path.parent) as folder:
        try:
            file = os.open(path.name, flags | _FILE, 0o600, dir_fd=folder)
        except OSError as error:
            if error.errno in (*_NO_FOLDER, errno.ENXIO):
                raise NotOurs(f"{path} is not a regular file: remove it") from error
            raise
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise NotOurs(f"{path} is not a regular file: remove it")
        if found.st_nlink > 1:
            raise NotOurs(f"{path} has another name as well (a hard link): remove one of them")
        check_owner(found, path, is_closed=False)
        if flags & os.O_ACCMODE != os.O_RDONLY:
            os.fchmod(file, 0o600)
    except BaseException:
        os.close(file)
        raise
    return file


def check_owner(found: os.stat_result, path: Path, *, is_closed: bool = True) -> None:
    """Raise `NotOurs` unless it belongs to us and, if it must be private, nobody else may write to it."""
    if found.st_uid != os.geteuid():
        raise NotOurs(
            f"{path} belongs to {_name(found.st_uid)}, and you are {_name(os.geteuid())}: use it as that user"
            f" (sudo -u {_name(found.st_uid)} ...), or name a folder of your own with --data or PULP_DATA"
        )
    if is_closed and found.st_mode & 0o022:
        raise NotOurs(
            f"others may write to {path}, and may have changed what is in it: look at it, then close it with"
            f" chmod go-w '{path}', or name another folder with --data or PULP_DATA"
        )


def write_private(path: Path, content: str, owner: tuple[int, int] | None = None) -> None:
    """Atomically write a file that only its owner (we, or the given user and group) may read."""
    aside = f".{path.name}.{uuid4().hex[:8]}"
    with open_folder(path.parent) as folder:
        try:
            new = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=folder)
            with os.fdopen(new, "w", encoding="utf-8") as file:
                os.fchmod(new, 0o600)
                if owner is not None:
                    os.fchown(new, *owner)
                file.write(content)
            os.rename(aside, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):  # leftovers of failed attempts must not fill the disk
                os.unlink(aside, dir_fd=folder)
            raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object in the same way."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, even on a full disk. There it overwrites the previous one in place, which is not atomic:
    `read_json` waits until it is complete.
    """
    text = json.dumps(content)
    text = text.ljust(-(-(len(text) + 1) // RECORD_BYTES) * RECORD_BYTES - 1) + "\n"
    try:
        write_private(path, text)
    except OSError as error:
        if error.errno not in _NO_ROOM or not path.exists() or path.stat().st_size != len(text):
            raise
        file = open_file(path, os.O_WRONLY)
        try:
            os.pwrite(file, text.encode(), 0)
        finally:
            os.close(file)


def hand_over(path: Path, owner: tuple[int, int] | None) -> None:
    """Change the owner of a file in a folder of ours (None: to us); a link is changed itself, not followed."""
    with open_folder(path.parent) as folder, suppress(FileNotFoundError):
        user, group = (os.geteuid(), os.getegid()) if owner is None else owner
        if os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_uid != user:
            os.chown(path.name, user, group, dir_fd=folder, follow_symlinks=False)


def read_private(path: Path) -> bytes:
    """The content of a file of ours. Raises `NotOurs` and FileNotFoundError."""
    with os.fdopen(open_file(path, os.O_RDONLY), "rb") as file:
        return file.read()


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file of ours; None if there is no file. Raises ValueError for anything else."""
    for again in (True, True, False):
        try:
            content = json.loads(read_private(path))
        except FileNotFoundError:
            return None
        except ValueError:
            if again:  # it may be half-written at this moment
                continue
            raise
        if not isinstance(content, dict):
            raise ValueError(f"{path} holds no JSON object")
        return content
    raise AssertionError("unreachable")


def remove_leftovers(*folders: Path) -> None:
    """Remove what an interrupted write, or an interrupted creation of a folder, left behind."""
    for path in folders:
        with suppress(FileNotFoundError), open_folder(path) as folder:
            for name in os.listdir(folder):
                if not _ASIDE.fullmatch(name):
                    continue
                if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    shutil.rmtree(name, dir_fd=folder)
                else:
                    os.unlink(name, dir_fd=folder)


def _step(folder: int, name: str, path: Path, flags: int = _PASSING) -> int:
    """Go down into a folder, and close the one above it."""
    try:
        inner = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        raise NotOurs(f"{name} in {path} is a symbolic link, or no folder: it is not followed") from error
    os.close(folder)
    return inner


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"the user with number {user}"
