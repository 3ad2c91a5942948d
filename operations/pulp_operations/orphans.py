"""`remove-orphans`: delete content that no repository holds, and what interrupted tasks have left."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from pulp_worker import Context, Resource, operation

from pulp_operations.arguments import RemoveOrphansArguments, fencing_token
from pulp_operations.damage import content_of, drop, heal, is_linked, set_aside_files
from pulp_operations.fences import fence_content
from pulp_operations.layout import DISCARDED
from pulp_operations.storage import telling_storage_errors
from pulp_operations.store import Store

_PART: Final = ".part"
_KINDS: Final = {".rpm": "packages", ".file": "tree_files", _PART: "downloads"}
_SUFFIXES: Final = {"rpm": {".rpm"}, "distribution": {".file"}}
"""Content type → the suffix of its files; other types have none."""
_DISCARDED_FROM: Final = (
    "repositories/*/versions/*",
    "publications/*/*",
    "repositories/*",
    "publications/*",
    "partial/*",
)
_LOOK_EVERY: Final = 1000


@operation(
    "remove-orphans",
    arguments=RemoveOrphansArguments,
    cancellable=True,
    resources=[Resource("content_unit", "orphans")],
    tags=["pulp:content_unit:orphans"],
)
@telling_storage_errors
def remove_orphans(context: Context[RemoveOrphansArguments]) -> object:
    """Remove content that no repository holds, and the remains of interrupted downloads.

    A repository holds the content of each version that it keeps. No sync and no publish runs meanwhile: they share the
    resource that this needs exclusively. If the record of any version cannot be read, nothing is removed and the task
    fails (`damaged-version`). The result is null if there was nothing to remove. With `content_type` only its files are
    removed, and no interrupted downloads.
    """
    token = fencing_token(context, "content_unit:orphans")
    store = Store(context.storage)
    fence_content(store.root, token)
    held = set(map(_key_of, store.referenced()))
    _remove_leftovers(store.root)
    heal(store.root)
    removed = _Removed()
    wanted = context.arguments.content_type
    suffixes = _KINDS.keys() if wanted is None else _SUFFIXES.get(wanted, set())
    for number, path in enumerate(_candidates(store.root, suffixes)):
        if number % _LOOK_EVERY == 0:
            context.check_cancelled()
        if path.suffix == _PART or _key_of(path) not in held:
            removed.remove(path, _KINDS[path.suffix])
    for path in set_aside_files(store.root) if wanted is None else ():
        if not is_linked(path) or _key_of(content_of(store.root, path)) not in held:
            removed.remove(path, "damaged")
    for folder in store.root.glob("partial/*"):
        with contextlib.suppress(OSError):  # not empty: something else is in it
            folder.rmdir()
    return removed.result()


class _Removed:
    """Removes and counts files; the bytes include files that a publication may still link."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(dict.fromkeys(("packages", "tree_files", "downloads", "damaged"), 0))
        self._size_bytes = 0

    def remove(self, path: Path, kind: str) -> None:
        size_bytes = path.stat().st_size
        drop(path)
        self._counts[kind] += 1
        self._size_bytes += size_bytes

    def result(self) -> dict[str, int] | None:
        count = self._counts.total()
        return {"removed": count, "size": self._size_bytes, **self._counts} if count else None


def _key_of(path: Path) -> bytes:
    """Algorithm, checksum and kind of a file below `content/`, compact as there may be millions."""
    return f"{path.parent.parent.name}/{path.name}".encode()


def _candidates(root: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for pattern in ("content/*/*/*", "partial/*/*"):
        yield from (path for path in root.glob(pattern) if path.suffix in suffixes and path.is_file())


def _remove_leftovers(root: Path) -> None:
    """Scratch folders of killed tasks; while this runs, no live task has one."""
    for place in ("scratch/*", *(f"{place}{DISCARDED}" for place in _DISCARDED_FROM)):
        for folder in root.glob(place):
            shutil.rmtree(folder, ignore_errors=True)
    for path in root.glob("damaged/*.new"):
        path.unlink()
