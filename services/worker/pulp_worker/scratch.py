"""The folder in which one attempt at a plain operation works."""

import contextlib
import os
import shutil
import tempfile
from uuid import UUID


def folder_of(attempt_id: UUID) -> str:
    """Its path, below TMPDIR."""
    try:
        parent = tempfile.gettempdir()
    except FileNotFoundError:  # no folder is writable: creating this one will say why
        parent = os.environ.get("TMPDIR", "/tmp")
    return os.path.abspath(os.path.join(parent, f"pulp-{attempt_id}"))


def make(folder: str) -> None:
    """Create it, for this user alone. Raises `OSError`, also if it already exists."""
    os.mkdir(folder, 0o700)


def remove(folder: str) -> None:
    """Remove it and all its contents, even those that its owner may not read; no error if it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    if not os.path.isdir(folder):
        return
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for parent, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
