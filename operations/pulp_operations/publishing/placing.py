"""Where files of a publication are placed, and how they get there: by hard links to the store."""

import os
from pathlib import Path
from typing import Final

from pulp_operations.layout import link_or_copy
from pulp_operations.publishing.packing import REPODATA

RECORD: Final = ".publication.json"
_MOST_NAME_BYTES: Final = 255
_MOST_PATH_BYTES: Final = 2000


def place(folder: Path, path: str) -> Path | None:
    """Where a file with this relative path is placed in the folder; None for a path that must not be used.

    None stands for paths that lead out of the folder, that no file can have, and for the publication's record.
    """
    parts = path.split("/")
    is_odd = any(part in ("", ".", "..") or len(os.fsencode(part)) > _MOST_NAME_BYTES for part in parts)
    if is_odd or "\0" in path or len(os.fsencode(path)) > _MOST_PATH_BYTES or parts[0] == RECORD:
        return None
    return folder / path


def is_repodata(path: str) -> bool:
    """Whether the path is in the folder of the publication's own metadata."""
    return path.split("/", 1)[0] == REPODATA


def link_into(source: Path, target: Path) -> None:
    """Link a file into a publication, and create the folders above it. Raises as `link_or_copy` does.

    `FileExistsError` or `NotADirectoryError` also mean that a file is in the place of a folder.
    """
    try:
        link_or_copy(source, target)
    except FileNotFoundError:  # of the first file in a folder
        target.parent.mkdir(parents=True, exist_ok=True)
        link_or_copy(source, target)
