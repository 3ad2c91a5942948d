"""Temporary data folders: created for one stack and removed with it, even if it was killed."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from pulp_deploy.errors import DeployError
from pulp_deploy.files import open_file
from pulp_deploy.folder import TEMPORARY, DataFolder

_PREFIX: Final = "pulp-tasks-"


def make_temporary() -> Path:
    """Create a temporary folder, and remove those of stacks that were killed."""
    remove_abandoned(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def remove_abandoned(parent: Path) -> None:
    """Remove our temporary data folders that nobody holds, and end processes that were left running on them."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError, DeployError):
            lock = open_file(path / "lock", os.O_RDWR)
            try:
                os.close(open_file(path / TEMPORARY, os.O_RDONLY))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                DataFolder(path).end_leftovers()
                shutil.rmtree(path)
            finally:
                os.close(lock)
