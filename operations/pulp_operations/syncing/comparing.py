"""The packages that a sync adds and removes, and whether it may remove that many."""

from pathlib import Path
from typing import Final

from msgspec import Struct
from pulp_worker import OperationError

from pulp_operations.versions import StoredVersion, packages_in

_FEW: Final = 5
"""A sync may always remove this many packages, unless none would be left."""


class PackageChanges(Struct, frozen=True, kw_only=True):
    """How many packages differ between two versions."""

    before: int
    after: int
    added: int
    removed: int


def compare(held: StoredVersion | None, folder: Path) -> PackageChanges:
    """Compare the previous version with the one in `folder`. It holds a checksum for each package, so call it in a
    thread.

    For a damaged previous version, only the number of its packages is known.
    """
    after = added = 0
    try:
        before = set() if held is None else {_digest(package.checksum) for package in held.packages()}
    except OperationError:
        return _compare_numbers(held.version.counts.packages if held else 0, sum(1 for _ in packages_in(folder)))
    for package in packages_in(folder):
        after += 1
        added += _digest(package.checksum) not in before
    return PackageChanges(before=len(before), after=after, added=added, removed=len(before) - (after - added))


def _compare_numbers(before: int, after: int) -> PackageChanges:
    return PackageChanges(before=before, after=after, added=max(0, after - before), removed=max(0, before - after))


def check_shrinking(changes: PackageChanges, repo_id: str, most_removed_percent: int) -> None:
    """Raise `OperationError` (`would-shrink`) if more than this share of the packages before would be removed.

    A few packages may always go, unless none is left.
    """
    is_emptied = changes.after == 0 and changes.before > 0
    is_much = changes.removed * 100 > most_removed_percent * changes.before
    if is_much and (is_emptied or changes.removed > _FEW):
        raise OperationError(
            "would-shrink",
            f"the sync would remove {changes.removed} of the {changes.before} packages that repository {repo_id!r}"
            f" holds, and a sync removes at most {most_removed_percent} % of them. Nothing was changed. Look at the"
            " feed; if it is right, submit the sync with --allow-shrink (argument allow_shrink)",
        )


def _digest(checksum: str) -> bytes:
    return bytes.fromhex(checksum)
