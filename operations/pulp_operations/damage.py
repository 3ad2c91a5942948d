"""Damaged content: set aside when found, so that a sync or a repair fetches it again.

damaged/ALGORITHM-CHECKSUM.SUFFIX      what was at content/ALGORITHM/AB/CHECKSUM.SUFFIX

A publication holds hard links to content, so its file is damaged too. The file stays in `damaged/` until a good one has
arrived and has replaced it in all publications.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import uuid4

from pulp_operations.layout import link_or_copy

_FOLDER: Final = "damaged"
_NEW: Final = ".new"


def set_aside(root: Path, content: Path, found: Path | None = None) -> bool:
    """Move a damaged file out of the store below `root`, which does not have that content from then on.

    `found` is the link through which the damage was seen: nothing happens if somebody has replaced the content since.
    Returns whether the file was set aside. Raises `OSError`.
    """
    target = _aside(root, content)
    target.parent.mkdir(exist_ok=True)
    try:
        if found is not None and not os.path.samefile(found, content):
            return False
        content.replace(target)
    except FileNotFoundError:
        return False
    return True


def is_set_aside(root: Path, content: Path) -> bool:
    """Whether the file at `content` was found damaged and has not been fetched again."""
    return _aside(root, content).exists()


def heal(root: Path) -> int:
    """Replace damaged files in publications by the good ones that the store has now. Returns how many were replaced.

    Call it after content was fetched. While nothing is damaged it only lists one folder. Raises `OSError`.
    """
    come_back = {path: content for path in set_aside_files(root) if (content := content_of(root, path)).exists()}
    healed = relink(root, come_back)
    for path in come_back:
        drop(path)
    return healed


def relink(root: Path, replacements: Mapping[Path, Path]) -> int:
    """Make publications link a good file instead of the damaged one (damaged → good); returns how many.

    Raises `OSError`.
    """
    found = {path.stat().st_ino: good for path, good in replacements.items() if is_linked(path)}
    if not found:
        return 0
    (root / _FOLDER).mkdir(exist_ok=True)
    return sum(_replace(root, path, found[inode]) for path, inode in _files(root / "publications") if inode in found)


def is_linked(aside: Path) -> bool:
    """Whether a publication still links a file that was set aside."""
    return aside.is_file() and aside.stat().st_nlink > 1


def drop(aside: Path) -> None:
    """Delete a file that was set aside, or a folder in its place."""
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)


def set_aside_files(root: Path) -> list[Path]:
    """The damaged files whose good content is not back yet, or not linked everywhere."""
    return [path for path in sorted((root / _FOLDER).glob("*-*")) if path.suffix != _NEW]


def content_of(root: Path, aside: Path) -> Path:
    """The path in the store of a file that was set aside."""
    algorithm, _, name = aside.name.partition("-")
    return root / "content" / algorithm / name[:2] / name


def _aside(root: Path, content: Path) -> Path:
    return root / _FOLDER / f"{content.parent.parent.name}-{content.name}"


def _replace(root: Path, path: Path, content: Path) -> int:
    draft = root / _FOLDER / f"{uuid4()}{_NEW}"
    try:
        link_or_copy(content, draft)
        draft.replace(path)
    except FileNotFoundError:  # the publication, or the content, was removed meanwhile
        return 0
    finally:
        draft.unlink(missing_ok=True)  # rename does nothing if `path` is already the good file
    return 1


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """All files below a folder, with their inodes; a folder removed meanwhile yields those seen so far."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path), entry.inode()
