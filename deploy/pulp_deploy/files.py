"""Small files of the data folder, and what a password may stand in."""

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    aside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)  # a full disk must not fill with what is left of each attempt
        raise


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder, and its parents that are missing, with this very mode whatever the umask is.

    One that is there gets the mode, so it must be ours alone; parents that are there stay as they are.
    """
    missing = [each for each in path.parents if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in (path, *missing):
        each.chmod(mode)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object in the same way."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None if there is no file. Raises ValueError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
