"""Packages and tree files of a publication: linked from the store, and compared with the metadata."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pulp_worker import OperationError

from pulp_operations.damage import set_aside
from pulp_operations.foreign import is_ordinary
from pulp_operations.layout import checksum_of
from pulp_operations.publishing.errors import bad_publication, damaged_version
from pulp_operations.publishing.placing import is_repodata, link_into, place
from pulp_operations.records import Content, Package, StoredFile
from pulp_operations.store import Store

_MOST_SHOWN: Final = 10
_CURE: Final = "A sync or a repair of the repository fetches them again; publish it then"


class PlacedFile(NamedTuple):
    """A file of the store, and its path in the publication."""

    content: Package | StoredFile
    path: str


def shown(content: Package | StoredFile) -> str:
    """Its name in messages. A feed chose the name, so an unusual one is not shown."""
    name = content.name if isinstance(content, Package) else content.path
    return name if is_ordinary(name) else f"the file with checksum {content.checksum}"


def link_content(store: Store, placed: Iterable[PlacedFile], folder: Path, done: Callable[[], None]) -> None:
    """Link the files into the publication; `done` is called for each.

    Raises `OperationError`: `content-missing` names those that the store lacks, `bad-publication` one that cannot be in
    its place.
    """
    missing = []
    for each in placed:
        target = place(folder, each.path)
        if target is None:
            raise bad_publication(f"{shown(each.content)} has a path that no publication can have")
        try:
            link_into(store.content_path(each.content), target)
        except FileNotFoundError:
            missing.append(shown(each.content))
            continue
        except (FileExistsError, NotADirectoryError):
            if not is_content(target, each.content):  # unless a feed names one file twice
                raise bad_publication(f"{shown(each.content)} has the path of another file") from None
        done()
    if missing:
        raise OperationError("content-missing", f"the store has lost {_some(missing)}. {_CURE}")


def link_tree(store: Store, files: list[StoredFile], folder: Path, done: Callable[[], None]) -> list[PlacedFile]:
    """Link the files of an installable tree; returns those that were linked.

    A tree also names files that the publication has itself, such as repodata/repomd.xml: these stay.
    """
    placed = []
    for file in files:
        target = place(folder, file.path)
        if target is not None and not is_repodata(file.path) and not _is_taken(target):
            placed.append(PlacedFile(file, file.path))
            link_content(store, placed[-1:], folder, lambda: None)
        done()
    return placed


def _is_taken(target: Path) -> bool:
    try:
        return target.exists()
    except NotADirectoryError:
        return True


def compare_content(store: Store, placed: Iterable[PlacedFile], folder: Path, *, expected: int) -> int:
    """Compare every byte of a publication's files with their records. Returns the size of the files in bytes.

    Damaged files are set aside in the store, so that the next sync or repair fetches them. Raises `OperationError`:
    `content-damaged` names them, `damaged-version` means that they are not as many as `expected`.
    """
    size_bytes, seen, damaged = 0, 0, []
    for each in placed:
        seen += 1
        if is_content(folder / each.path, each.content):
            size_bytes += each.content.size_bytes
            continue
        damaged.append(shown(each.content))
        _set_aside(store, each.content)
    if damaged:
        raise OperationError("content-damaged", f"in the store {_some(damaged)} is not what the metadata says. {_CURE}")
    if seen != expected:
        raise damaged_version(f"it lists {seen} packages, and not {expected}")
    return size_bytes


def is_content(path: Path, content: Content) -> bool:
    """Whether the file has this size and checksum."""
    try:
        return path.stat().st_size == content.size_bytes and checksum_of(path, content.algorithm) == content.checksum
    except (FileNotFoundError, NotADirectoryError):
        return False


def _set_aside(store: Store, content: Package | StoredFile) -> None:
    path = store.content_path(content)
    if path.exists() and not is_content(path, content):
        set_aside(store.root, path)


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
