"""Verifying everything stored: which files exist, and which are damaged or missing."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pulp_operations.damage import set_aside
from pulp_operations.repairing.stored import (
    SurveyedFile,
    condition,
    content_items,
    metadata_items,
    published_items,
    size_of,
)
from pulp_operations.store import Store
from pulp_operations.versions import DamagedVersion, StoredVersion

Versions = list[tuple[str, StoredVersion]]
"""With the ids of their repositories."""


@dataclass(slots=True)
class Found:
    """What was checked, and what is wrong with it.

    The items of one path are the repositories for which the file can be fetched. `unreadable` are versions whose
    contents are unknown.
    """

    checked: int = 0
    checked_bytes: int = 0
    damaged: int = 0
    missing: int = 0
    bad: dict[Path, list[SurveyedFile]] = field(default_factory=dict)
    unreadable: list[DamagedVersion] = field(default_factory=list)


class Survey:
    """Verifies each file once, however many versions hold it."""

    def __init__(self, store: Store, tell: Callable[[Found], None]) -> None:
        """`tell` is called after each file; an exception from it ends the survey."""
        self._store, self._tell = store, tell
        self._seen: set[bytes] = set()
        self.found = Found()

    def look(self, items: Iterable[SurveyedFile]) -> None:
        """Read every byte. A damaged package is set aside, so that nobody publishes it."""
        for item in items:
            key = _key(item)
            if key not in self._seen:
                self._seen.add(key)
                self._look_at(item)
                self._tell(self.found)
            elif item.path in self.found.bad:
                self.found.bad[item.path].append(item)

    def look_at_content(self, versions: Versions) -> None:
        """Verify the packages and tree files of these versions."""
        for repo_id, held in versions:
            try:
                self.look(content_items(self._store, repo_id, held))
            except DamagedVersion as error:
                self.found.unreadable.append(error)

    def _look_at(self, item: SurveyedFile) -> None:
        size_bytes = size_of(item)
        now = condition(self._store.root, item)
        if now != "good" and not item.folder.exists():
            return  # removed meanwhile by a sync or a publish
        self.found.checked += 1
        self.found.checked_bytes += size_bytes
        if now == "good":
            return
        self.found.bad[item.path] = [item]
        if now == "missing":
            self.found.missing += 1
            return
        self.found.damaged += 1
        if item.is_content:
            set_aside(self._store.root, item.path)


def versions_of(store: Store, repo_ids: Iterable[str], unreadable: list[DamagedVersion]) -> Versions:
    """All versions whose record can be read; for each of the others an error is added to the list."""
    return [(repo_id, held) for repo_id in repo_ids for held in store.versions(repo_id).readable(unreadable.append)]


def metadata_of(versions: Versions) -> Iterator[SurveyedFile]:
    """The files of metadata that these versions hold."""
    for repo_id, held in versions:
        yield from metadata_items(repo_id, held)


def published_of(store: Store, repo_ids: Iterable[str]) -> Iterator[SurveyedFile]:
    """The files that were written for the newest publications of these repositories."""
    for repo_id in repo_ids:
        yield from published_items(store, repo_id)


def count(store: Store, repo_ids: Iterable[str], versions: Versions) -> tuple[int, int]:
    """The number of distinct files to verify, and their bytes."""
    seen: set[bytes] = set()
    total_bytes = 0
    for item in chain(_all_items(store, versions), published_of(store, repo_ids)):
        key = _key(item)
        if key not in seen:
            seen.add(key)
            total_bytes += size_of(item)
    return len(seen), total_bytes


def _all_items(store: Store, versions: Versions) -> Iterator[SurveyedFile]:
    yield from metadata_of(versions)
    for repo_id, held in versions:
        try:
            yield from content_items(store, repo_id, held)
        except DamagedVersion:
            continue  # it is reported when it is checked


def _key(item: SurveyedFile) -> bytes:
    """The same for one file. Small, since there may be millions."""
    if item.is_content:
        return f"{item.algorithm}/{item.path.name}".encode()
    return str(item.path).encode()
