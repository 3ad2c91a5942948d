"""Where the files of an archive are: a folder, or a file system of fsspec."""

import fcntl
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from pulp_archive.errors import ArchiveAway, ArchiveInUse, ArchiveUnusable

_DRAFT: Final = ".new"
_LOCK: Final = "lock"
_LOGIN: Final = re.compile(r"(?<=://)(?<!abfs://)(?<!abfss://)[^/\s]+(?=@)")
"""In Azure's URLs the container is before the `@`."""
_BUCKETS: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})
"""The schemes of storage without folders, in which an object exists whole or not at all."""


class ArchiveStore(Protocol):
    """Files by their names below the archive, with `/`."""

    def place(self, name: str) -> str:
        """How people find a file."""
        ...

    def read(self, name: str) -> bytes:
        """A whole file. Raises `FileNotFoundError`, and `ArchiveAway` if the storage does not answer."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file completely or not at all. Raises `OSError`."""
        ...

    def names(self, folder: str) -> list[str]:
        """The names of the entries of a folder, in order; none if the folder does not exist. Raises `ArchiveAway`."""
        ...

    def remove_left(self, folder: str, known: Collection[str], ending: str) -> None:
        """Remove what a killed writer left behind: unknown files with this ending, or drafts of such files.

        Call it only while `locked` keeps other writers away. Raises `OSError`.
        """
        ...

    def locked(self) -> Any:
        """A block in which no other process of this machine writes a folder. Raises `ArchiveInUse`."""
        ...


def shown(url: str) -> str:
    """The name of an archive for messages and logs: a URL may have a login before its host, which is left out."""
    return _LOGIN.sub("...", url)


def store_of(url: str) -> ArchiveStore:
    """The store of a folder's path or of a URL. Raises `ArchiveUnusable`, and `ArchiveAway` if it does not answer."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return FolderStore(Path(url).expanduser().absolute())
    if scheme == "file":
        return FolderStore(Path(rest).absolute())
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ArchiveUnusable(
            f"an archive at {shown(url)} needs fsspec, which is not installed: python -m pip install"
            " 'pulp-tasks[archive]'"
        ) from error
    try:
        system, root = url_to_fs(url)
    except ImportError as error:  # the library for this kind of storage is missing
        raise ArchiveUnusable(f"an archive at {shown(url)} cannot be used: {error}") from error
    except ValueError as error:
        raise ArchiveUnusable(
            f"{shown(url)} is not an archive: {error}. A folder is expected, or a URL that fsspec knows, such as"
            " s3://BUCKET"
        ) from error
    except Exception as error:  # some libraries connect here, and each raises its own errors
        raise _unreadable(f"the archive at {shown(url)}", error) from error
    return UrlStore(system, root.rstrip("/"), f"{scheme}://")


class FolderStore:
    """A folder of this machine. What was written is on disk; files are readable by their owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def place(self, name: str) -> str:
        """See `ArchiveStore.place`."""
        return str(self._path / name)

    def read(self, name: str) -> bytes:
        """See `ArchiveStore.read`."""
        try:
            return (self._path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(self.place(name)) from error
        except OSError as error:
            raise _unreadable(self.place(name), error) from error

    def write(self, name: str, data: bytes) -> None:
        """See `ArchiveStore.write`."""
        path = self._path / name
        self._make(path.parent)
        draft = path.with_name(path.name + _DRAFT)
        try:
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)  # on a full disk it would take the space that recovery needs
            raise
        _sync(path.parent)

    def names(self, folder: str) -> list[str]:
        """See `ArchiveStore.names`."""
        try:
            return sorted(each.name for each in (self._path / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unreadable(self.place(folder), error) from error

    def remove_left(self, folder: str, known: Collection[str], ending: str) -> None:
        """See `ArchiveStore.remove_left`."""
        for name in self.names(folder):
            if name not in known and name.endswith((ending, ending + _DRAFT)):
                (self._path / folder / name).unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See `ArchiveStore.locked`. Raises `OSError` for a folder that cannot be written."""
        self._make(self._path)
        with os.fdopen(os.open(self._path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveInUse(f"another process writes the archive in {self._path}: wait for it") from None
            yield

    def _make(self, path: Path) -> None:
        """Create a folder and its missing parents, each synced to disk."""
        if path.is_dir():
            return
        self._make(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        _sync(path.parent)


class UrlStore:
    """A file system of fsspec. Nothing locks out a second writer; file names depend on the contents."""

    def __init__(self, system: Any, root: str, scheme: str) -> None:
        self._system, self._root, self._scheme = system, root, scheme

    def place(self, name: str) -> str:
        """See `ArchiveStore.place`."""
        return self._scheme + self._path(name).lstrip("/")

    def read(self, name: str) -> bytes:
        """See `ArchiveStore.read`."""
        try:
            data: bytes = self._system.cat_file(self._path(name))
        except FileNotFoundError:
            raise
        except Exception as error:  # each library raises its own errors, such as for a missing login
            raise _unreadable(self.place(name), error) from error
        return data

    def write(self, name: str, data: bytes) -> None:
        """See `ArchiveStore.write`."""
        path = self._path(name)
        try:
            if self._scheme.partition(":")[0] not in _BUCKETS:
                draft = path + _DRAFT
                self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
                self._system.pipe_file(draft, data)
                self._system.mv(draft, path)
            else:  # a bucket's objects are there whole or not at all; makedirs would create a misspelt bucket
                self._system.pipe_file(path, data)
            self._system.invalidate_cache()
        except OSError:
            raise
        except Exception as error:
            raise OSError(f"{self.place(name)}: {_why(error)}") from error

    def names(self, folder: str) -> list[str]:
        """See `ArchiveStore.names`."""
        try:
            self._system.invalidate_cache()
            found = self._system.ls(self._path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except Exception as error:
            raise _unreadable(self.place(folder), error) from error
        return sorted(str(each).rstrip("/").rpartition("/")[2] for each in found)

    def remove_left(self, folder: str, known: Collection[str], ending: str) -> None:
        """See `ArchiveStore.remove_left`: another writer may be at work, so everything stays."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See `ArchiveStore.locked`."""
        yield

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _unreadable(place: str, error: Exception) -> ArchiveAway:
    return ArchiveAway(f"{place} cannot be read: {_why(error)}. Does the storage answer, and may this account read it?")


def _why(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return said or type(error).__name__


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
